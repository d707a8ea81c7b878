/*
 * A vCPU of a virtual machine. The guest's whole program is the loop below: it takes one command
 * after the other, in 64-bit mode with its memory mapped one to one. It stands in memory of its
 * own, which is not the memory that is served.
 */
#include "vmm.h"

#if defined(__x86_64__)
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONTROL_GPA   0xd0000000ull /* among the devices */
#define CODE	      0ull
#define TOP_TABLE     PAGE
#define SECOND_TABLE  (2 * PAGE)
#define THIRD_TABLES  (3 * PAGE)
#define TABLES	      64ull /* GiB that can be mapped */
#define COMMANDS      (THIRD_TABLES + TABLES * PAGE)
#define COMMANDS_SIZE 16384ull
#define CONTROL_SIZE  (COMMANDS + VCPUS * COMMANDS_SIZE)
_Static_assert((BATCH + 1) * sizeof(struct command) <= COMMANDS_SIZE, "a vCPU's commands fit");

#define DONE_PORT "0x80"

/*
 * rsi: the command. Its fields: 0 op, 8 gpa, 16 arg, 24 result, 32 ticks, 40 done.
 */
__asm__(".pushsection .rodata\n"
	".global guest_code, guest_next, guest_code_end\n"
	"guest_code:\n"
	"	rdtsc\n"
	"	shlq $32, %rdx\n"
	"	orq %rax, %rdx\n"
	"	movq %rdx, %r8\n"
	"	movq 0(%rsi), %rax\n"
	"	movq 8(%rsi), %rdi\n"
	"	movq 16(%rsi), %rbx\n"
	"	cmpq $1, %rax\n" /* OP_TOUCH */
	"	je 1f\n"
	"	cmpq $2, %rax\n" /* OP_READ */
	"	je 2f\n"
	"	cmpq $3, %rax\n" /* OP_WRITE */
	"	je 4f\n"
	"	outb %al, $" DONE_PORT "\n"
	"1:	movq (%rdi,%rbx), %rax\n"
	"	movq %rax, 24(%rsi)\n"
	"	jmp 6f\n"
	"2:	xorl %eax, %eax\n"
	"	movl $512, %ecx\n"
	"	movabsq $0xd6e8feb86659fd93, %r9\n" /* HASH_STEP */
	"3:	imulq %r9, %rax\n"
	"	addq (%rdi), %rax\n"
	"	addq $8, %rdi\n"
	"	decl %ecx\n"
	"	jnz 3b\n"
	"	movq %rax, 24(%rsi)\n"
	"	jmp 6f\n"
	"4:	movl $512, %ecx\n"
	"	movabsq $0x9e3779b97f4a7c15, %r9\n" /* OWN_STEP */
	"5:	movq %rbx, (%rdi)\n"
	"	addq %r9, %rbx\n"
	"	addq $8, %rdi\n"
	"	decl %ecx\n"
	"	jnz 5b\n"
	"6:	rdtsc\n"
	"	shlq $32, %rdx\n"
	"	orq %rax, %rdx\n"
	"	subq %r8, %rdx\n"
	"	movq %rdx, 32(%rsi)\n"
	"	movq $1, 40(%rsi)\n" /* DONE_RIGHT */
	"guest_next:\n"
	"	addq $48, %rsi\n"
	"	jmp guest_code\n"
	"guest_code_end:\n"
	".popsection\n");
extern const char guest_code[], guest_next[], guest_code_end[];

struct kvm {
	int fd, vm;
	int run_size;
	char *control;
};

static void add_slot(struct kvm *kvm, unsigned slot, uint64_t gpa, void *hva, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	if (ioctl(kvm->vm, KVM_SET_USER_MEMORY_REGION, &region) != 0)
		give_up(STATUS_WRONG, "KVM refuses memory at %#jx: %m", (uintmax_t)gpa);
}

#define PRESENT_WRITABLE_USED 0x63ull /* and dirty, so that nobody need write that down */
#define LARGE		      0x80ull

static void make_control(struct vm *vm, struct kvm *kvm)
{
	uint64_t *table;

	kvm->control = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (kvm->control == MAP_FAILED)
		give_up(STATUS_WRONG, "no memory for the guest's code: %m");
	/* A child of fork is to leave the guest's own tables alone. */
	madvise(kvm->control, CONTROL_SIZE, MADV_DONTFORK);
	memcpy(kvm->control + CODE, guest_code, (size_t)(guest_code_end - guest_code));
	table = (uint64_t *)(kvm->control + TOP_TABLE);
	table[0] = (CONTROL_GPA + SECOND_TABLE) | PRESENT_WRITABLE_USED;
	table = (uint64_t *)(kvm->control + SECOND_TABLE);
	for (uint64_t i = 0; i < TABLES; i++)
		table[i] = (CONTROL_GPA + THIRD_TABLES + i * PAGE) | PRESENT_WRITABLE_USED;
	table = (uint64_t *)(kvm->control + THIRD_TABLES);
	for (uint64_t i = 0; i < TABLES * 512; i++)
		table[i] = i << 21 | PRESENT_WRITABLE_USED | LARGE;
	add_slot(kvm, 0, CONTROL_GPA, kvm->control, CONTROL_SIZE);
	for (unsigned i = 0; i < vm->options->vcpus; i++)
		vm->vcpu[i].command =
			(struct command *)(kvm->control + COMMANDS + i * COMMANDS_SIZE);
}

struct kvm *kvm_new(struct vm *vm, const char **why)
{
	static struct kvm kvm;

	kvm.fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm.fd < 0) {
		*why = strerror(errno);
		return NULL;
	}
	kvm.vm = ioctl(kvm.fd, KVM_CREATE_VM, 0);
	if (kvm.vm < 0) {
		*why = "it makes no virtual machine";
		close(kvm.fd);
		return NULL;
	}
	kvm.run_size = ioctl(kvm.fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	ioctl(kvm.vm, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	make_control(vm, &kvm);
	for (unsigned i = 0; i < vm->nregions; i++)
		add_slot(&kvm, 1 + i, vm->region[i].gpa, vm->region[i].hva, vm->region[i].size);
	return &kvm;
}

static void set_mode(int fd)
{
	struct kvm_sregs s;
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_segment code = data;

	if (ioctl(fd, KVM_GET_SREGS, &s) != 0)
		give_up(STATUS_WRONG, "KVM_GET_SREGS: %m");
	code.selector = 8;
	code.type = 11;
	code.db = 0;
	code.l = 1;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr3 = CONTROL_GPA + TOP_TABLE;
	s.cr4 = 1u << 5;		      /* PAE */
	s.cr0 = 1u << 0 | 1u << 5 | 1u << 31; /* PE, NE, PG */
	s.efer = 1u << 8 | 1u << 10;	      /* LME, LMA */
	if (ioctl(fd, KVM_SET_SREGS, &s) != 0)
		give_up(STATUS_WRONG, "KVM_SET_SREGS: %m");
}

void kvm_vcpu(struct vcpu *v)
{
	struct kvm *kvm = v->vm->kvm;

	v->kvm = ioctl(kvm->vm, KVM_CREATE_VCPU, v->index);
	if (v->kvm < 0)
		give_up(STATUS_WRONG, "KVM_CREATE_VCPU: %m");
	v->run = mmap(NULL, (size_t)kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->kvm, 0);
	if (v->run == MAP_FAILED)
		give_up(STATUS_WRONG, "no run area of the vCPU: %m");
	set_mode(v->kvm);
}

static struct command *current(struct vcpu *v, struct kvm_regs *regs)
{
	if (ioctl(v->kvm, KVM_GET_REGS, regs) != 0)
		give_up(STATUS_WRONG, "KVM_GET_REGS: %m");
	return (struct command *)(v->vm->kvm->control + (regs->rsi - CONTROL_GPA));
}

static void skip(struct vcpu *v)
{
	struct kvm_regs regs;
	struct command *c = current(v, &regs);

	atomic_store(&c->done, DONE_POISONED);
	regs.rip = CONTROL_GPA + CODE + (uint64_t)(guest_next - guest_code);
	if (ioctl(v->kvm, KVM_SET_REGS, &regs) != 0)
		give_up(STATUS_WRONG, "KVM_SET_REGS: %m");
}

/*
 * KVM cannot reach the page although we can: its memory is served from within this process. So we
 * touch it.
 */
static void touch_for_kvm(struct vcpu *v)
{
	struct kvm_regs regs;
	struct command *c = current(v, &regs);
	uint64_t i = (uint64_t)(c - v->command);

	if (i >= v->n)
		give_up(STATUS_WRONG, "KVM cannot reach memory, at rip %#jx", (uintmax_t)regs.rip);
	v->efaults++;
	if (!plain_touch(page_hva(v->vm, v->visit[i].page), c->op == OP_WRITE))
		skip(v);
}

/*
 * The same where KVM was emulating the instruction: then it is for us to do what the instruction
 * does with memory.
 */
static void access_for_kvm(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct kvm_regs regs;
	struct command *c = current(v, &regs);
	uint64_t i = (uint64_t)(c - v->command), at = run->mmio.phys_addr % PAGE;
	char *page;

	if (i >= v->n || run->mmio.phys_addr / PAGE != c->gpa / PAGE || at + run->mmio.len > PAGE ||
	    run->mmio.len > sizeof(run->mmio.data))
		give_up(STATUS_WRONG, "the guest strayed to %#jx", (uintmax_t)run->mmio.phys_addr);
	v->efaults++;
	page = page_hva(v->vm, v->visit[i].page);
	if (plain_touch(page, run->mmio.is_write)) {
		if (run->mmio.is_write)
			memcpy(page + at, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, page + at, run->mmio.len);
		return;
	}
	/* What it is about is finished before the guest is somewhere else. */
	run->immediate_exit = 1;
	ioctl(v->kvm, KVM_RUN, 0);
	run->immediate_exit = 0;
	skip(v);
}

void kvm_execute(struct vcpu *v)
{
	struct kvm_regs regs = {
		.rip = CONTROL_GPA + CODE,
		.rsi = CONTROL_GPA + COMMANDS + v->index * COMMANDS_SIZE,
		.rflags = 2,
	};
	unsigned in_vain = 0;

	if (ioctl(v->kvm, KVM_SET_REGS, &regs) != 0)
		give_up(STATUS_WRONG, "KVM_SET_REGS: %m");
	for (;;) {
		int rc = ioctl(v->kvm, KVM_RUN, 0);

		if (rc == 0 && v->run->exit_reason == KVM_EXIT_IO)
			return;
		if (plain_poisoned())
			skip(v);
		else if (rc < 0 && errno == EFAULT && ++in_vain < 1000 * BATCH)
			touch_for_kvm(v);
		else if (rc == 0 && v->run->exit_reason == KVM_EXIT_MMIO)
			access_for_kvm(v);
		else if (rc < 0 && errno != EINTR && errno != EAGAIN)
			give_up(STATUS_WRONG, "KVM_RUN: %m");
		else if (rc == 0)
			give_up(STATUS_WRONG, "the guest left with KVM's exit %u",
				v->run->exit_reason);
	}
}

#else

struct kvm *kvm_new(struct vm *vm, const char **why)
{
	(void)vm;
	*why = "there is guest code for x86-64 only";
	return NULL;
}

void kvm_vcpu(struct vcpu *v)
{
	(void)v;
}

void kvm_execute(struct vcpu *v)
{
	plain_execute(v);
}
#endif
