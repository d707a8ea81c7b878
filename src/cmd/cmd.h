/*
 * cmd.h - the userfault command: what its files share.
 *
 * An ordinary program of the C library. It looks at things, says what it sees and starts programs;
 * everything userfaultfd does happens in the preload library, inside the program. Complaints are
 * one sentence on stderr that names the cause and the way out.
 */
#ifndef UF_CMD_CMD_H
#define UF_CMD_CMD_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/host/host.h"

enum {
	STATUS_NO = 1,		 /* doctor: Userfault cannot work here */
	STATUS_USAGE = 2,	 /* the command line is wrong */
	STATUS_UNABLE = 125,	 /* run: Userfault itself cannot start */
	STATUS_CANNOT_RUN = 126, /* run: PROGRAM is there but cannot be run so */
	STATUS_NOT_FOUND = 127,	 /* run: no such PROGRAM */
};

int run_main(int argc, char **argv);
int replay_main(int argc, char **argv);
int doctor_main(int argc, char **argv);

/* ---- complain.c: command lines; linked by every command -----------------------------------------
 */

/* "userfault: " and the sentence, to stderr. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The word among words[] (NULL-terminated) that somebody who typed `wrong` most likely meant, or
 * NULL when none is near.
 */
const char *nearest_word(const char *wrong, const char *const *words);

/*
 * Complain about what getopt_long just refused (its answer was '?' or ':'), with the help to turn
 * to. Returns STATUS_USAGE.
 */
int bad_option(int answer, char *const *argv, const char *const *long_names, const char *help);

/* A number of bytes, perhaps with a unit. */
bool parse_size(const char *text, uint64_t *bytes);
/* Complain about one; returns STATUS_USAGE. */
int bad_size(const char *option, const char *text);

/* ---- limits.c: run's options about memory -------------------------------------------------------
 */

struct mm_policy;

/* What the options say, for the program's processes. Zero: nothing was said. */
struct limits {
	uint64_t memory;
	char swap[PATH_MAX]; /* "none", "zstd", or an absolute path */
	uint64_t swap_size;
	const char *policy;
	const char *record_name;
	char record[PATH_MAX]; /* that, absolute */
};

/* 0, or the exit status after a complaint. */
int find_policy(const char *name, const struct mm_policy **found);

/* The values of --memory-limit, --swap, --policy. As find_policy. */
int limits_set_memory(struct limits *l, const char *text);
int limits_set_swap(struct limits *l, const char *text);
int limits_set_policy(struct limits *l, const char *name);
/* All is well and the program is about to be started: what it needs is made. As find_policy. */
int limits_begin(struct limits *l);
/* Tell the program in the environment. Nonzero: there is no room in it (errno). */
int limits_environment(const struct limits *l);
/* The program has ended. */
void limits_finish(const struct limits *l);

/* ---- run_trace.c: run's option --trace ---------------------------------------------------------
 */

struct run_trace {
	const char *name;
	uint64_t size;	     /* 0: nothing was said */
	char path[PATH_MAX]; /* name, absolute */
};

/* The value of --trace-size. As find_policy. */
int run_trace_set_size(struct run_trace *t, const char *text);
/* The program is about to be started: the file is made, if there is to be one. As find_policy. */
int run_trace_begin(struct run_trace *t, char *const *program);
/* The program has ended. */
void run_trace_finish(const struct run_trace *t);

/* ---- inject.c: run's option --inject ------------------------------------------------------------
 */

/* Is it all understood? 0, or the exit status after a complaint. */
int inject_check(const char *spec);

/* ---- program.c: may PROGRAM run under the preload library? -------------------------------------
 */

/* As execvp finds it. 0 and the path, or the exit status after a complaint. */
int program_find(const char *name, char path[PATH_MAX]);
/*
 * 0, or the exit status after a complaint. name: what the user called it. hosted: it is static, and
 * runs in a host.
 */
int program_check(const char *name, const char *path, bool *hosted);
/* Complains that execve of a checked program failed with `error`; returns the exit status. */
int program_exec_failed(const char *name, int error);

/* ---- preload.c: where the preload library is ----------------------------------------------------
 */

/* 0 and the path, or the exit status after a complaint. */
int preload_find(char path[PATH_MAX]);
/* The program that static ones run in. */
bool host_find(char path[PATH_MAX]);
/* userfault-NAME. */
bool tool_find(const char *name, char path[PATH_MAX]);
/* Put path in front of LD_PRELOAD, unless it is there. */
int preload_set(const char *path);

/* ---- tool.c: commands that are programs of their own --------------------------------------------
 */

/* Becomes userfault-NAME; argv[0] is NAME. The exit status after a complaint. */
int tool_main(const char *name, char **argv);

/* ---- trial.c: starting the machine, tried out in a child ----------------------------------------
 */

struct trial {
	bool works;
	char why[256];	 /* why not, in one sentence without the full stop */
	char trap[16];	 /* the trap that was chosen */
	uint64_t budget; /* host mappings that managed memory may use */
};
void trial_run(enum host_trap_choice choice, struct trial *out);

/* ---- session.c: what the processes of a run share ----------------------------------------------
 */

struct session_header;
/* A new session, named in the environment. Its descriptor, or -1 after a complaint. */
int session_make(const char *program);
/* To read; NULL: no room. */
const struct session_header *session_map(int fd);

/* ---- report.c: the statistics of a run ---------------------------------------------------------
 */

/* injecting: there was to be something. */
void report_print(const struct session_header *h, bool injecting);

/* ---- kernel.c: what the kernel offers of its own ------------------------------------------------
 */

enum refusal {
	REFUSED_NOT,
	REFUSED_SECCOMP,
	REFUSED_SYSCTL,
	REFUSED_MISSING,
	REFUSED_LSM
};

struct kernel_facts {
	char release[65];
	char machine[65];
	int call_error;	  /* errno of userfaultfd(0), 0: permitted */
	int user_error;	  /* errno of userfaultfd(UFFD_USER_MODE_ONLY) */
	int device_error; /* errno of open or USERFAULTFD_IOC_NEW on /dev/userfaultfd */
	enum refusal call_refused_by;
	enum refusal user_refused_by;
	int sysctl;	 /* vm.unprivileged_userfaultfd, -1: no such */
	int seccomp;	 /* Seccomp: of /proc/self/status, -1: unknown */
	bool may_ptrace; /* CAP_SYS_PTRACE is effective */
	bool features_known;
	uint64_t features; /* of UFFDIO_API */
};
void kernel_look(struct kernel_facts *out);

/* The name of userfaultfd feature bit n in lower case, or NULL. */
const char *kernel_feature_name(unsigned bit);

#endif
