/*
 * stats_file.h - the statistics file of a session: written by the processes under `userfault run`,
 * read by the command.
 *
 * The command creates the file (STATS_FILE_SIZE bytes, sparse), fills in the header and names it in
 * the environment variable USERFAULT_STATS. Each process that comes to use a userfaultfd maps the
 * file and claims a slot, by changing its `pid` from 0 to its own. Slots are claimed in order, so
 * the first one with pid 0 is the end. Nobody gives a slot back: the numbers outlive the process.
 */
#ifndef UF_FRONT_STATS_FILE_H
#define UF_FRONT_STATS_FILE_H

#include "mm/stats.h"

#define STATS_FILE_MAGIC   0x5453465555554655ull
#define STATS_FILE_VERSION 1u
#define STATS_FILE_SLOTS   4096u

struct stats_header {
	uint64_t magic;
	uint32_t version;
	uint32_t nslots;
	uint32_t slot_size; /* sizeof(struct stats_slot) */
	uint32_t pad[11];
};

struct stats_slot {
	_Atomic uint32_t pid; /* 0: free */
	uint32_t pad;
	char comm[16]; /* the process's name, ends with 0 */
	char trap[16]; /* the trap in use, ends with 0 */
	struct mm_stats stats;
};

struct stats_file {
	struct stats_header header;
	struct stats_slot slot[STATS_FILE_SLOTS];
};

#define STATS_FILE_SIZE sizeof(struct stats_file)

#endif
