// What the compiler knows of processors, and Swift has no name for.
#ifndef HEADRACE_PROCESSOR_H
#define HEADRACE_PROCESSOR_H

// Has the processor bring a line of memory into its nearest caches, and waits for nothing. Any address will do.
static inline void headrace_prefetch(const void *address) { __builtin_prefetch(address); }

#endif
