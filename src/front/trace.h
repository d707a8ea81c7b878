/*
 * trace.h - the trace of a run (trace/trace.h), which USERFAULT_TRACE names: opening it, and who
 * and what its records are about.
 */
#ifndef UF_FRONT_TRACE_H
#define UF_FRONT_TRACE_H

/* Remember what the environment says. */
void trace_environment(void);
/* Open it, if there is one; once a process. 0, or a negative errno and in *why what is wrong. */
int trace_start(const char **why);
/* In the child of a fork. */
void trace_child(void);

#endif
