/*
 * mini-vmm: restores guests through a page server, runs them, and checks every page.
 */
#include "vmm.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t ticks_now(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return now_ns();
#endif
}

uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return mix(*state, 5) >> 1;
}

static void say_at(const char *format, va_list list)
{
	char text[512];

	vsnprintf(text, sizeof(text), format, list);
	fprintf(stderr, "mini-vmm[%d]: %s\n", getpid(), text);
}

void say(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say_at(format, list);
	va_end(list);
}

void give_up(int status, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say_at(format, list);
	va_end(list);
	_exit(status);
}

static void shuffle(uint64_t *order, uint64_t n, uint64_t seed)
{
	uint64_t random = mix(seed, 3) | 1, j, t;

	for (uint64_t i = n; i > 1; i--) {
		j = next_random(&random) % i;
		t = order[i - 1];
		order[i - 1] = order[j];
		order[j] = t;
	}
}

static void read_order(struct vm *vm, const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned long long page;

	if (!file)
		give_up(STATUS_USAGE, "%s: %m", path);
	vm->norder = 0;
	while (fscanf(file, "%llu", &page) == 1) {
		if (page >= vm->pages || vm->norder == vm->pages)
			give_up(STATUS_USAGE, "%s: page %llu is beyond the guest's memory", path,
				page);
		vm->order[vm->norder++] = page;
	}
	fclose(file);
}

static void make_order(struct vm *vm)
{
	const struct options *o = vm->options;

	vm->order = calloc(vm->pages, sizeof(*vm->order));
	if (!vm->order)
		give_up(STATUS_WRONG, "no memory for the order");
	vm->norder = vm->pages;
	for (uint64_t i = 0; i < vm->pages; i++)
		vm->order[i] = i;
	if (o->order == ORDER_RANDOM)
		shuffle(vm->order, vm->pages, o->seed);
	if (o->order == ORDER_FILE)
		read_order(vm, o->order_file);
	if (o->touch && o->touch < vm->norder)
		vm->norder = o->touch;
	if (vm->norder == 0)
		give_up(STATUS_USAGE, "there is no page to visit");
}

static void mark_poison(struct vm *vm, const char *list)
{
	uint64_t from, to;
	char *end;

	vm->poison = calloc(vm->pages, 1);
	if (!vm->poison)
		give_up(STATUS_WRONG, "no memory for the poisoned pages");
	for (;; list = end + 1) {
		from = to = strtoull(list, &end, 0);
		if (end == list)
			give_up(STATUS_USAGE, "--expect-poison: '%s'", list);
		if (*end == '-')
			to = strtoull(end + 1, &end, 0);
		for (; from <= to && from < vm->pages; from++)
			vm->poison[from] = 1;
		if (*end != ',')
			break;
	}
}

static uint64_t progress(struct vm *vm)
{
	uint64_t sum = atomic_load(&vm->steps);

	for (unsigned i = 0; i <= VCPUS; i++) {
		struct vcpu *v = &vm->vcpu[i];

		sum += atomic_load(&v->visits) + atomic_load(&v->finished);
		for (unsigned c = 0; v->command && c < BATCH; c++)
			sum += atomic_load(&v->command[c].done) != DONE_NOT;
	}
	return sum;
}

static void tell_wedged(struct vm *vm)
{
	for (unsigned i = 0; i <= VCPUS; i++) {
		struct vcpu *v = &vm->vcpu[i];
		unsigned c = 0;

		while (c < v->n && atomic_load(&v->command[c].done) != DONE_NOT)
			c++;
		if (atomic_load(&v->executes) && c < v->n)
			say("wedged: vCPU %u waits for page %ju at %p", i,
			    (uintmax_t)v->visit[c].page, (void *)page_hva(vm, v->visit[c].page));
	}
	say("wedged: no progress for %.0f s; %ju removals, %ju forks, %ju moves",
	    vm->options->timeout, (uintmax_t)atomic_load(&vm->removals),
	    (uintmax_t)atomic_load(&vm->forked), (uintmax_t)atomic_load(&vm->moved));
	_exit(STATUS_WEDGED);
}

/* Joins the thread; ends the process if nothing happens meanwhile. */
static void join(struct vm *vm, pthread_t thread)
{
	uint64_t last = progress(vm), since = now_ns();
	struct timespec until;

	for (;;) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		if (pthread_timedjoin_np(thread, NULL, &until) == 0)
			return;
		if (progress(vm) != last) {
			last = progress(vm);
			since = now_ns();
		} else if ((double)(now_ns() - since) > vm->options->timeout * 1e9) {
			tell_wedged(vm);
		}
	}
}

static pthread_t begin(void *(*main)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, main, arg) != 0)
		give_up(STATUS_WRONG, "cannot start a thread");
	return thread;
}

static void run(struct vm *vm)
{
	const struct options *o = vm->options;
	pthread_t thread[3];
	unsigned n = 0;

	for (unsigned i = 0; i < o->vcpus; i++)
		vm->vcpu[i].thread = begin(vcpu_main, &vm->vcpu[i]);
	if (o->balloon || o->flood)
		thread[n++] = begin(balloon_main, vm);
	if (o->forks)
		thread[n++] = begin(fork_main, vm);
	if (o->moves)
		thread[n++] = begin(move_main, vm);
	for (unsigned i = 0; i < o->vcpus; i++)
		join(vm, vm->vcpu[i].thread);
	for (unsigned i = 0; i < n; i++)
		join(vm, thread[i]);
}

static void *final_check(void *arg)
{
	struct vcpu *v = arg;
	struct vm *vm = v->vm;
	bool all = vm->options->check == CHECK_ALL;

	for (uint64_t i = 0; i < (all ? vm->pages : vm->norder); i++)
		vcpu_add(v, OP_READ, all ? i : vm->order[i]);
	vcpu_flush(v);
	return NULL;
}

/*
 * All of it once more: what came of everything that happened must be there, for the guest and for
 * the VMM.
 */
static void check_all(struct vm *vm)
{
	if (vm->kvm)
		join(vm, begin(final_check, &vm->vcpu[0]));
	join(vm, begin(final_check, &vm->vcpu[VCPUS]));
}

static void report(struct vm *vm, double seconds, double per_us)
{
	static struct times times;
	uint64_t visits = 0, written = 0, poisoned = 0, raced = 0, efaults = 0;
	struct rusage usage;

	for (unsigned i = 0; i < vm->options->vcpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		times_add(&times, &v->times);
		visits += v->visits;
		written += v->written;
		efaults += v->efaults;
		poisoned += v->poisoned;
		raced += v->raced;
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("guest pages=%ju visits=%ju written=%ju removed=%ju removals=%ju poisoned=%ju "
	       "raced=%ju forks=%ju moves=%ju efaults=%ju wrong=%ju seconds=%.4f p50_us=%.1f "
	       "p99_us=%.1f longest_us=%.0f longest_page=%ju mode=%s\n",
	       (uintmax_t)vm->pages, (uintmax_t)visits, (uintmax_t)written, (uintmax_t)vm->removed,
	       (uintmax_t)vm->removals, (uintmax_t)poisoned, (uintmax_t)raced,
	       (uintmax_t)vm->forked, (uintmax_t)vm->moved, (uintmax_t)efaults,
	       (uintmax_t)vm->wrong, seconds, times_quantile(&times, 0.5) / per_us,
	       times_quantile(&times, 0.99) / per_us, (double)times.longest / per_us,
	       (uintmax_t)times.longest_page, vm->kvm ? "kvm" : "plain");
	fflush(stdout);
}

static int run_guest(const struct options *o)
{
	static struct vm vm;
	const char *why = NULL;
	uint64_t began, ended;

	vm.options = o;
	vm.socket = -1;
	memory_make(&vm);
	vm.page = calloc(vm.pages, sizeof(*vm.page));
	if (!vm.page)
		give_up(STATUS_WRONG, "no memory for the pages' states");
	make_order(&vm);
	if (o->expect_poison)
		mark_poison(&vm, o->expect_poison);
	plain_init();
	for (unsigned i = 0; i <= VCPUS; i++)
		if (i < o->vcpus || i == VCPUS)
			vcpu_init(&vm, i);
	if (o->kvm != KVM_NO)
		vm.kvm = kvm_new(&vm, &why);
	if (o->kvm == KVM_YES && !vm.kvm)
		give_up(STATUS_SKIP, "there is no /dev/kvm that works: %s", why);
	memory_send(&vm);
	vm.began = began = now_ns();
	vm.ticks_began = ticks_now();
	run(&vm);
	ended = now_ns();
	double per_us = (double)(ticks_now() - vm.ticks_began) * 1000 / (double)(ended - began);
	if (o->check != CHECK_NONE)
		check_all(&vm);
	if (!o->quiet || vm.wrong)
		report(&vm, (double)(ended - began) / 1e9, per_us);
	return vm.wrong ? STATUS_WRONG : 0;
}

static pid_t start_guest(const struct options *o, unsigned number)
{
	struct options own = *o;
	pid_t child = fork();

	if (child < 0)
		give_up(STATUS_WRONG, "cannot fork: %m");
	if (child == 0) {
		own.seed += number;
		_exit(run_guest(&own));
	}
	return child;
}

static int run_guests(const struct options *o)
{
	unsigned started = 0, ended = 0, good = 0;
	int status, worst = 0;
	uint64_t began = now_ns();

	while (ended < o->guests) {
		while (started < o->guests && started - ended < o->at_once && worst == 0)
			start_guest(o, started++);
		if (started == ended)
			break;
		if (wait(&status) < 0)
			continue;
		ended++;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			good++;
		else if (worst == 0)
			worst = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_WRONG;
		if (WIFSIGNALED(status))
			say("a guest was killed by signal %d", WTERMSIG(status));
	}
	printf("guests good=%u of=%u at_once=%u seconds=%.3f\n", good, o->guests, o->at_once,
	       (double)(now_ns() - began) / 1e9);
	return worst;
}

static const char help[] =
	"usage: mini-vmm --socket=PATH --pages=N [option...]\n"
	"Restores a guest through a page server, runs it and checks each page of its memory.\n"
	"  --image=SEED[:ZERO[:SAME]]  what make-image was told (1:30:10)\n"
	"  --offset=BYTES   where in the image the guest's memory begins\n"
	"  --regions=N      of memory; the second begins at 4 GiB (1)\n"
	"  --reverse        names the last region first\n"
	"  --vcpus=N        (1)\n"
	"  --order=WHICH    random, sequential, or a file of page numbers (random)\n"
	"  --touch=N        visits the first N pages of the order only\n"
	"  --passes=N       goes through the order N times (1)\n"
	"  --seconds=S      then goes on at random until so long after the start\n"
	"  --writes=PERCENT of visits that fill the page with something new (10)\n"
	"  --balloon=PERCENT of memory given back meanwhile (0)\n"
	"  --flood          gives back page after page as fast as it can\n"
	"  --forks          forks meanwhile, and asks for that event\n"
	"  --moves          moves a region of its own meanwhile, and asks for that event\n"
	"  --seed=N         of all that is random here (1)\n"
	"  --minor          memory is a memfd, sent along, and registered for minor faults\n"
	"  --huge           pages of 2 MiB\n"
	"  --device         opens /dev/userfaultfd\n"
	"  --keep-socket    leaves the connection open\n"
	"  --check=WHICH    at the end: all, touched, none (all)\n"
	"  --kvm=yes|no|auto (auto)\n"
	"  --expect-poison=LIST  these pages must be poisoned: 17,40-63\n"
	"  --allow-poison   pages may be poisoned\n"
	"  --guests=N       that many guests, each a process\n"
	"  --at-once=M      of them at a time (1)\n"
	"  --timeout=S      without progress, after which it counts as wedged (60)\n"
	"  --quiet          nothing about guests that are all right\n"
	"Ends with 0: all is right; 1: it is not; 3: wedged; 77: the machine lacks something.\n";

static bool which_order(struct options *o, const char *text)
{
	if (strcmp(text, "random") == 0) {
		o->order = ORDER_RANDOM;
	} else if (strcmp(text, "sequential") == 0) {
		o->order = ORDER_SEQUENTIAL;
	} else {
		o->order = ORDER_FILE;
		o->order_file = text;
	}
	return true;
}

static bool one_of(const char *text, const char *const *names, int *which)
{
	for (*which = 0; names[*which]; (*which)++)
		if (strcmp(text, names[*which]) == 0)
			return true;
	return false;
}

static bool which_check(struct options *o, const char *text)
{
	static const char *const names[] = {"all", "touched", "none", NULL};
	int which;
	bool known = one_of(text, names, &which);

	o->check = (enum check)which;
	return known;
}

static bool which_kvm(struct options *o, const char *text)
{
	static const char *const names[] = {"auto", "yes", "no", NULL};
	int which;
	bool known = one_of(text, names, &which);

	o->kvm = (enum use_kvm)which;
	return known;
}

static bool which_image(struct options *o, const char *text)
{
	return image_parse(text, &o->image);
}

enum type {
	FLAG,
	UNSIGNED,
	BIG,
	REAL,
	TEXT,
	OTHER
};
struct known_option {
	const char *name;
	enum type type;
	size_t at; /* in struct options */
	bool (*take)(struct options *o, const char *text);
};
#define AT(name, type, field)                                                                      \
	{                                                                                          \
		name, type, offsetof(struct options, field), NULL                                  \
	}
#define BY(name, take)                                                                             \
	{                                                                                          \
		name, OTHER, 0, take                                                               \
	}
static const struct known_option known[] = {
	AT("socket", TEXT, socket),
	BY("image", which_image),
	AT("offset", BIG, offset),
	AT("pages", BIG, pages),
	AT("regions", UNSIGNED, regions),
	AT("reverse", FLAG, reverse),
	AT("vcpus", UNSIGNED, vcpus),
	BY("order", which_order),
	AT("touch", BIG, touch),
	AT("passes", UNSIGNED, passes),
	AT("seconds", REAL, seconds),
	AT("writes", UNSIGNED, writes),
	AT("balloon", UNSIGNED, balloon),
	AT("flood", FLAG, flood),
	AT("forks", FLAG, forks),
	AT("moves", FLAG, moves),
	AT("seed", BIG, seed),
	AT("minor", FLAG, minor),
	AT("huge", FLAG, huge),
	AT("device", FLAG, device),
	AT("keep-socket", FLAG, keep_socket),
	BY("check", which_check),
	BY("kvm", which_kvm),
	AT("expect-poison", TEXT, expect_poison),
	AT("allow-poison", FLAG, allow_poison),
	AT("guests", UNSIGNED, guests),
	AT("at-once", UNSIGNED, at_once),
	AT("timeout", REAL, timeout),
	AT("quiet", FLAG, quiet),
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

static void take(struct options *o, const struct known_option *option, const char *text)
{
	void *at = (char *)o + option->at;
	char *end = "";

	switch (option->type) {
	case FLAG:
		*(bool *)at = true;
		break;
	case UNSIGNED:
		*(unsigned *)at = (unsigned)strtoul(text, &end, 0);
		break;
	case BIG:
		*(uint64_t *)at = strtoull(text, &end, 0);
		break;
	case REAL:
		*(double *)at = strtod(text, &end);
		break;
	case TEXT:
		*(const char **)at = text;
		break;
	case OTHER:
		end = option->take(o, text) ? "" : "wrong";
		break;
	}
	if (*end)
		give_up(STATUS_USAGE, "--%s: '%s' is no value of it", option->name, text);
}

static void read_options(struct options *o, int argc, char **argv)
{
	struct option longs[KNOWN + 2] = {{0}};
	int c, which;

	for (unsigned i = 0; i < KNOWN; i++)
		longs[i] = (struct option){known[i].name, known[i].type != FLAG, NULL, 1};
	longs[KNOWN] = (struct option){"help", no_argument, NULL, 2};
	while ((c = getopt_long(argc, argv, "", longs, &which)) != -1) {
		if (c == 2) {
			fputs(help, stdout);
			exit(0);
		}
		if (c != 1)
			exit(STATUS_USAGE);
		take(o, &known[which], optarg);
	}
}

int main(int argc, char **argv)
{
	struct options o = {
		.image = IMAGE_DEFAULT,
		.seed = 1,
		.regions = 1,
		.vcpus = 1,
		.passes = 1,
		.writes = 10,
		.order = ORDER_RANDOM,
		.at_once = 1,
		.timeout = 60,
	};

	read_options(&o, argc, argv);
	if (optind != argc || !o.socket || o.pages == 0 || o.regions == 0 || o.regions > REGIONS ||
	    o.vcpus == 0 || o.vcpus > VCPUS || o.passes == 0 || o.at_once == 0) {
		fputs(help, stderr);
		return STATUS_USAGE;
	}
	return o.guests ? run_guests(&o) : run_guest(&o);
}
