/*
 * patch_decode.c - the few instructions of x86-64 that can be moved.
 */
#include "front/patch.h"

#include <stddef.h>

#define REX_W 8
#define REX_R 4
#define REX_B 1

/* What an opcode has: a ModRM byte, how many bytes of immediate, what it writes. */
enum {
	HAS_RM = 1,
	TO_REG = 2, /* the ModRM's register */
	TO_RM = 4,  /* what the ModRM names */
	NO_W = 8,   /* not with REX.W, which makes the immediate longer */
};

struct opcode {
	uint8_t byte, flags, immediate;
};

static const struct opcode opcodes[] = {
	{0x88, HAS_RM, 0},
	{0x89, HAS_RM | TO_RM, 0},
	{0x8b, HAS_RM | TO_REG, 0},
	{0x8d, HAS_RM | TO_REG, 0},
	{0x63, HAS_RM | TO_REG, 0},
	{0x31, HAS_RM | TO_RM, 0},
	{0x33, HAS_RM | TO_REG, 0},
	{0x29, HAS_RM | TO_RM, 0},
	{0x2b, HAS_RM | TO_REG, 0},
	{0x01, HAS_RM | TO_RM, 0},
	{0x03, HAS_RM | TO_REG, 0},
	{0x21, HAS_RM | TO_RM, 0},
	{0x23, HAS_RM | TO_REG, 0},
	{0x09, HAS_RM | TO_RM, 0},
	{0x0b, HAS_RM | TO_REG, 0},
	{0x39, HAS_RM, 0},
	{0x3b, HAS_RM, 0},
	{0x84, HAS_RM, 0},
	{0x85, HAS_RM, 0},
	{0x80, HAS_RM | TO_RM, 1},
	{0x81, HAS_RM | TO_RM, 4},
	{0x83, HAS_RM | TO_RM, 1},
	{0xc6, HAS_RM | TO_RM, 1},
	{0xc7, HAS_RM | TO_RM, 4},
	{0xc1, HAS_RM | TO_RM, 1},
	{0xb9, NO_W, 4},
	{0xba, NO_W, 4},
	{0xbb, NO_W, 4},
	{0xbd, NO_W, 4},
	{0xbe, NO_W, 4},
	{0xbf, NO_W, 4},
	{0x90, 0, 0},
};

/* After a first byte of 0f: what goes by a condition, moves that widen, the long no-operation. */
static bool two_bytes(uint8_t second, struct opcode *op)
{
	bool move = (second & 0xf0) == 0x40 || (second & 0xf6) == 0xb6;

	bool set = (second & 0xf0) == 0x90;

	*op = (struct opcode){second, HAS_RM | (move ? TO_REG : 0) | (set ? TO_RM : 0), 0};
	return move || set || second == 0x1f;
}

static bool one_byte(uint8_t byte, struct opcode *op)
{
	size_t i;

	for (i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++)
		if (opcodes[i].byte == byte) {
			*op = opcodes[i];
			return true;
		}
	return false;
}

/* The bytes from the ModRM on, without the immediate; *relative when it counts from the end. */
static unsigned modrm_size(const uint8_t *p, bool *relative)
{
	uint8_t mod = p[0] >> 6, rm = p[0] & 7;
	unsigned size = 1;

	*relative = mod == 0 && rm == 5;
	if (mod == 3)
		return size;
	if (rm == 4) {
		size++;
		if (mod == 0 && (p[1] & 7) == 5)
			return size + 4;
	}
	return size + (mod == 1 ? 1 : mod == 2 || *relative ? 4 : 0);
}

/* Does it change rax, or the stack pointer? */
static bool writes_special(const struct opcode *op, uint8_t rex, uint8_t modrm)
{
	uint8_t reg = (modrm >> 3) & 7, rm = modrm & 7;

	if ((op->flags & TO_REG) && !(rex & REX_R) && (reg == 0 || reg == 4))
		return true;
	return (op->flags & TO_RM) && modrm >> 6 == 3 && !(rex & REX_B) && (rm == 0 || rm == 4);
}

bool patch_decode(const uint8_t *p, const uint8_t *end, struct patch_insn *insn)
{
	const uint8_t *at = p;
	struct opcode op;
	uint8_t rex = 0;
	bool relative = false;

	if (end - p > 1 && *at == 0x64) /* fs: */
		at++;
	if (end - at > 1 && (*at & 0xf0) == 0x40)
		rex = *at++;
	if (end - at > 1 && *at == 0x0f) {
		if (!two_bytes(at[1], &op))
			return false;
		at += 2;
	} else if (!one_byte(*at++, &op)) {
		return false;
	}
	if ((op.flags & NO_W) && (rex & REX_W))
		return false;
	insn->relative = 0;
	if (op.flags & HAS_RM) {
		if (at >= end || writes_special(&op, rex, *at))
			return false;
		if ((*at >> 6) == 0 && (*at & 7) == 5)
			insn->relative = (uint8_t)(at + 1 - p);
		at += modrm_size(at, &relative);
	}
	at += op.immediate;
	insn->size = (uint8_t)(at - p);
	return at <= end;
}
