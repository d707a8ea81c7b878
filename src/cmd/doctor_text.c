/*
 * doctor_text.c - the diagnosis in words, one fact a line.
 */
#include "doctor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 2, 3))) tell(const char *label, const char *format, ...)
{
	va_list args;

	printf("  %-22s", label);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* Who refuses, in a few words. */
static const char *refusal_words(const struct kernel_facts *k, enum refusal refused_by)
{
	switch (refused_by) {
	case REFUSED_NOT:
		return "";
	case REFUSED_SECCOMP:
		return "a seccomp filter, as container runtimes install";
	case REFUSED_SYSCTL:
		return k->may_ptrace ? "vm.unprivileged_userfaultfd is 0 (CAP_SYS_PTRACE of a user "
				       "namespace does not count)"
				     : "vm.unprivileged_userfaultfd is 0, no CAP_SYS_PTRACE";
	case REFUSED_MISSING:
		return "this kernel does not have it";
	case REFUSED_LSM:
		return "a security module or a sandbox";
	}
	return "";
}

static void tell_call(const struct kernel_facts *k, const char *label, int error,
		      enum refusal refused_by)
{
	if (error == 0)
		tell(label, "permitted");
	else
		tell(label, "refused (%s): %s", strerrorname_np(error),
		     refusal_words(k, refused_by));
}

static void tell_features(const struct kernel_facts *k)
{
	unsigned count = 0;
	const char *last = NULL;

	if (!k->features_known) {
		tell("features", "unknown, as no descriptor can be had");
		return;
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(k->features & (1ull << bit)))
			continue;
		count++;
		last = kernel_feature_name(bit);
	}
	tell("features", "%u (0x%" PRIx64 "), the newest %s", count, k->features,
	     last ? last : "unknown");
}

static void tell_kernel(const struct kernel_facts *k)
{
	puts("The kernel's own userfaultfd");
	tell_call(k, "all faults", k->call_error, k->call_refused_by);
	tell_call(k, "user-mode faults only", k->user_error, k->user_refused_by);
	if (k->device_error == 0)
		tell("/dev/userfaultfd", "permitted");
	else
		tell("/dev/userfaultfd", "refused (%s): %s", strerrorname_np(k->device_error),
		     strerror(k->device_error));
	tell_features(k);
}

static void tell_trap(const struct diagnosis *d, const char *name, const struct trial *trial)
{
	bool chosen = d->chosen.works && strcmp(d->chosen.trap, name) == 0;
	char label[24];

	snprintf(label, sizeof(label), "%s trap", name);
	if (trial->works)
		tell(label, "works%s", chosen ? ", and is chosen" : "");
	else
		tell(label, "does not work: %s", trial->why);
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

void doctor_print_text(const struct diagnosis *d)
{
	printf("Linux %s on %s\n\n", d->kernel.release, d->kernel.machine);
	tell_kernel(&d->kernel);

	puts("\nWhat Userfault works with");
	tell_trap(d, "guard", &d->guard);
	tell_trap(d, "mprotect", &d->mprotect);
	tell("guard pages", "private memory %s, shared memory %s, contents kept %s",
	     yes_no(d->probe.guard_anon), yes_no(d->probe.guard_shared),
	     yes_no(d->probe.guard_keeps_contents));
	tell("memory files", "%s", yes_no(d->probe.memfd));
	tell("mappings", "%" PRIu64 " a process; %" PRIu64 " in use by this one",
	     d->probe.max_map_count, d->mappings);
	if (d->chosen.works)
		tell("for managed memory", "at most %" PRIu64 " of them", d->chosen.budget);
	tell("huge pages", "transparent: %s; hugetlb: %" PRIu64 " of %" PRIu64 " KiB", d->thp,
	     d->hugetlb_pages, d->hugetlb_kib);

	if (d->chosen.works)
		puts("\nUserfault works here: userfault run -- PROGRAM");
	else
		printf("\nUserfault does not work here: %s.\n", d->chosen.why);
}
