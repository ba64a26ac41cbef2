// The system's Lua 5.1 for scripts of the keyspace, behind functions that never raise.
//
// Lua's errors are jumps. They must not cross a frame of Swift, so every call into Lua that can fail is made here, protected, and
// what Swift gives to Lua are functions that only fill a buffer and return; whatever may raise happens after they have returned.
#ifndef HEADRACE_LUA_H
#define HEADRACE_LUA_H

#include <stddef.h>
#include <stdint.h>

typedef struct headrace_lua headrace_lua;

typedef struct {
    const char *bytes;
    size_t count;
} headrace_slice;

// Bytes that grow up to a bound. Beyond it `failed` is set and nothing more is taken.
typedef struct {
    char *bytes;
    size_t count;
    size_t capacity;
    size_t count_max;
    int failed;
} headrace_buffer;

void headrace_buffer_append(headrace_buffer *buffer, const void *bytes, size_t count);
void headrace_buffer_free(headrace_buffer *buffer);

// Carries out a command and appends its reply as RESP, in version 3 if `resp` is 3.
typedef void (*headrace_lua_command)(void *context, const headrace_slice *words, size_t count, int resp, headrace_buffer *reply);
// Whether the client that called the script may carry out a command: 1, 0, or -1 when there is no such command.
typedef int (*headrace_lua_allows)(void *context, const headrace_slice *words, size_t count);
// Takes a line of `redis.log`; the level is 0 (debug) to 3 (warning).
typedef void (*headrace_lua_log)(void *context, int level, const char *text, size_t count);

// A new interpreter, NULL when there is no memory. It takes at most so many bytes: beyond them scripts fail with "not enough memory".
headrace_lua *headrace_lua_create(size_t bytes_max);
void headrace_lua_destroy(headrace_lua *lua);
size_t headrace_lua_bytes(const headrace_lua *lua);

// Compiles a script. Returns a number to run it by, or 0 with the reason in `error`. Bytecode is refused.
int headrace_lua_compile(headrace_lua *lua, const char *source, size_t count, headrace_buffer *error);
void headrace_lua_forget(headrace_lua *lua, int script);
// Sets back what scripts have set: cjson's settings.
void headrace_lua_restore(headrace_lua *lua);

// What a run needs besides the script.
typedef struct {
    const headrace_slice *keys;
    size_t key_count;
    const headrace_slice *arguments;
    size_t argument_count;
    // 40 hexadecimal digits, named in errors.
    const char *digest;
    // Of the client, 2 or 3: how the reply is written.
    int resp;
    // After so much time the script is ended with an error.
    uint64_t milliseconds_max;
    headrace_lua_command command;
    headrace_lua_allows allows;
    headrace_lua_log log;
    void *context;
} headrace_lua_run_options;

// Runs a script and appends its reply, or its error, as RESP.
void headrace_lua_run(headrace_lua *lua, int script, const headrace_lua_run_options *options, headrace_buffer *reply);

// The SHA-1 of some bytes, as 40 hexadecimal digits and a zero byte.
void headrace_sha1_hex(const void *bytes, size_t count, char digits[41]);

// Ends the running script, or the next one, with an error as soon as it takes another step. Any thread.
void headrace_lua_interrupt(headrace_lua *lua);

// Takes that back, before a script runs.
void headrace_lua_uninterrupt(headrace_lua *lua);

#endif
