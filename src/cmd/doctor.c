/*
 * doctor.c - userfault doctor: look at the machine, tell what it offers.
 */
#include "doctor.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char help_text[] =
	"Usage: userfault doctor [--json]\n"
	"\n"
	"Says what this machine offers: whether this user may use the kernel's userfaultfd and if\n"
	"not, who refuses it; which traps work for Userfault and which one it chooses; how many\n"
	"mappings a process may have.\n"
	"\n"
	"  --json   the same as one JSON object\n"
	"  --help   this text\n"
	"\n"
	"Exit status: 0 if Userfault works here, 1 if it does not, 2 for a wrong command line.\n";

const char *refusal_word(enum refusal refused_by)
{
	switch (refused_by) {
	case REFUSED_NOT:
		return NULL;
	case REFUSED_SECCOMP:
		return "seccomp";
	case REFUSED_SYSCTL:
		return "sysctl";
	case REFUSED_MISSING:
		return "kernel";
	case REFUSED_LSM:
		return "security-module";
	}
	return NULL;
}

const char *diagnosis_permitted(const struct diagnosis *d)
{
	if (d->kernel.call_error == 0 || d->kernel.device_error == 0)
		return "yes";
	return d->kernel.user_error == 0 ? "user-mode-only" : "no";
}

static uint64_t count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uint64_t lines = 0;
	int c;

	if (!f)
		return 0;
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

/* The word in brackets: "always [madvise] never". */
static void read_thp(char out[16])
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");

	strcpy(out, "none");
	if (!f)
		return;
	if (fscanf(f, "%*[^[][%15[^]]", out) != 1)
		strcpy(out, "none");
	fclose(f);
}

static void read_hugetlb(struct diagnosis *d)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "HugePages_Total: %" SCNu64, &d->hugetlb_pages);
		sscanf(line, "Hugepagesize: %" SCNu64, &d->hugetlb_kib);
	}
	fclose(f);
}

static void look(struct diagnosis *d)
{
	memset(d, 0, sizeof(*d));
	kernel_look(&d->kernel);
	host_probe(&d->probe);
	trial_run(HOST_TRAP_AUTO, &d->chosen);
	trial_run(HOST_TRAP_GUARD, &d->guard);
	trial_run(HOST_TRAP_MPROTECT, &d->mprotect);
	d->mappings = count_mappings();
	read_thp(d->thp);
	read_hugetlb(d);
}

int doctor_main(int argc, char **argv)
{
	static const char *const long_names[] = {"json", "help", NULL};
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct diagnosis d;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return 0;
		default:
			return bad_option(option, argv, long_names, "'userfault doctor --help'");
		}
	}
	if (optind < argc) {
		complain("doctor takes no argument, so '%s' is one too many", argv[optind]);
		return STATUS_USAGE;
	}

	look(&d);
	if (json)
		doctor_print_json(&d);
	else
		doctor_print_text(&d);
	return d.chosen.works ? 0 : STATUS_NO;
}
