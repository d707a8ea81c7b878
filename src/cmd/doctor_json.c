/*
 * doctor_json.c - the diagnosis as a JSON object. Its members are documented in userfault-doctor(1)
 * and only ever added to.
 */
#include "doctor.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static void add(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add(to, key, value);
}

static void add_bool(struct json_object *to, const char *key, bool value)
{
	add(to, key, json_object_new_boolean(value));
}

static void add_number(struct json_object *to, const char *key, uint64_t value)
{
	add(to, key, json_object_new_uint64(value));
}

/* NULL is null. */
static void add_text(struct json_object *to, const char *key, const char *value)
{
	add(to, key, value ? json_object_new_string(value) : NULL);
}

static struct json_object *attempt(int error, const char *refused_by)
{
	struct json_object *o = json_object_new_object();

	add_bool(o, "permitted", error == 0);
	add_text(o, "error", error ? strerrorname_np(error) : NULL);
	add_text(o, "refused_by", refused_by);
	return o;
}

static struct json_object *features(const struct kernel_facts *k)
{
	struct json_object *list = json_object_new_array();

	if (!k->features_known) {
		json_object_put(list);
		return NULL;
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = kernel_feature_name(bit);
		char unnamed[16];

		if (!(k->features & (1ull << bit)))
			continue;
		snprintf(unnamed, sizeof(unnamed), "bit-%u", bit);
		json_object_array_add(list, json_object_new_string(name ? name : unnamed));
	}
	return list;
}

static struct json_object *userfaultfd(const struct diagnosis *d)
{
	const struct kernel_facts *k = &d->kernel;
	struct json_object *o = json_object_new_object();

	add_text(o, "permitted", diagnosis_permitted(d));
	add(o, "all_faults", attempt(k->call_error, refusal_word(k->call_refused_by)));
	add(o, "user_mode_only", attempt(k->user_error, refusal_word(k->user_refused_by)));
	add(o, "device", attempt(k->device_error, NULL));
	add(o, "features", features(k));
	add(o, "sysctl", k->sysctl < 0 ? NULL : json_object_new_int(k->sysctl));
	add(o, "seccomp", k->seccomp < 0 ? NULL : json_object_new_int(k->seccomp));
	add_bool(o, "cap_sys_ptrace", k->may_ptrace);
	return o;
}

static struct json_object *trap(const struct trial *t)
{
	struct json_object *o = json_object_new_object();

	add_bool(o, "works", t->works);
	add_text(o, "why", t->works ? NULL : t->why);
	return o;
}

static struct json_object *traps(const struct diagnosis *d)
{
	struct json_object *o = json_object_new_object();

	add(o, "guard", trap(&d->guard));
	add(o, "mprotect", trap(&d->mprotect));
	add_text(o, "chosen", d->chosen.works ? d->chosen.trap : NULL);
	return o;
}

static struct json_object *offers(const struct host_probe *p)
{
	struct json_object *o = json_object_new_object();

	add_bool(o, "guard_private", p->guard_anon);
	add_bool(o, "guard_shared", p->guard_shared);
	add_bool(o, "guard_keeps_contents", p->guard_keeps_contents);
	add_bool(o, "mprotect", p->mprotect);
	add_bool(o, "memfd", p->memfd);
	add_bool(o, "pagemap_scan", p->pagemap_scan);
	add_bool(o, "procmap_query", p->procmap_query);
	return o;
}

static struct json_object *mappings(const struct diagnosis *d)
{
	struct json_object *o = json_object_new_object();

	add_number(o, "limit", d->probe.max_map_count);
	add_number(o, "budget", d->chosen.budget);
	add_number(o, "used", d->mappings);
	return o;
}

static struct json_object *huge_pages(const struct diagnosis *d)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "transparent", d->thp);
	add_number(o, "hugetlb_pages", d->hugetlb_pages);
	add_number(o, "hugetlb_kib", d->hugetlb_kib);
	return o;
}

void doctor_print_json(const struct diagnosis *d)
{
	struct json_object *o = json_object_new_object();
	struct json_object *kernel = json_object_new_object();

	add_text(kernel, "release", d->kernel.release);
	add_text(kernel, "machine", d->kernel.machine);

	add_text(o, "version", UF_VERSION);
	add_bool(o, "works", d->chosen.works);
	add_text(o, "why", d->chosen.works ? NULL : d->chosen.why);
	add(o, "kernel", kernel);
	add(o, "userfaultfd", userfaultfd(d));
	add(o, "traps", traps(d));
	add(o, "host", offers(&d->probe));
	add(o, "mappings", mappings(d));
	add(o, "huge_pages", huge_pages(d));

	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
