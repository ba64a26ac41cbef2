// What the files of the shim share.
#ifndef HEADRACE_LUA_INTERNAL_H
#define HEADRACE_LUA_INTERNAL_H

#include "headrace_lua.h"
#include <lua5.1/lauxlib.h>
#include <lua5.1/lua.h>
#include <lua5.1/lualib.h>
#include <stdatomic.h>

enum {
    // How deep tables may be nested in a reply.
    HEADRACE_DEPTH_MAX = 128,
    // And in JSON and MessagePack. A level takes 90 bytes of C's stack, 250 without optimisation: at most 250 KB, where threads have the
    // 8 MB of the C library's default. Lua's own calls may take more: 200 deep, and 8 KB in each string.gsub.
    HEADRACE_NESTING_MAX = 1000,
};

// What scripts may set of cjson; it stays set for the scripts that follow.
typedef struct {
    // Whether a sparse array is written as an object, and not refused.
    int sparse_as_object;
    // What is sparse: more than so many places for each element (0: nothing), and more than so many at all.
    int sparse_ratio;
    int sparse_safe;
    int encode_depth_max;
    int decode_depth_max;
    // Significant digits.
    int precision;
    // Only shown: text is never kept between calls.
    int keeps_buffer;
    // NaN and the infinities: 0 refuses them, 1 writes them, 2 writes null.
    int encode_invalid;
    // And hexadecimal numbers and leading zeros: 0 refuses them, 1 reads them.
    int decode_invalid;
} headrace_json_settings;

struct headrace_lua {
    lua_State *state;
    size_t bytes;
    size_t bytes_max;
    // Of the run that is under way.
    const headrace_lua_run_options *options;
    uint64_t deadline;
    int call_resp;
    // Of all runs.
    headrace_json_settings json;
    // 48 bits.
    uint64_t random;
    // Where the replies of commands are gathered; kept between calls, so that a raised error loses nothing.
    headrace_buffer reply;
    atomic_int interrupted;
};

headrace_lua *headrace_lua_of(lua_State *state);

// Pushes what a RESP reply says.
// Returns 1 if it is an error, whose table {err = ...} is pushed; raises when the bytes are no reply.
int headrace_push_reply(lua_State *state, const char *bytes, size_t count);
// Appends a Lua value as RESP. Raises when it is nested too deeply.
void headrace_append_value(lua_State *state, int index, int resp, headrace_buffer *reply, int depth);
// Appends an error line made of a message; line ends become spaces.
void headrace_append_error(headrace_buffer *reply, const char *text, size_t count);

// What Lua CJSON begins with.
void headrace_json_restore(headrace_json_settings *settings);

// Each pushes a table of functions. The settings must outlive the interpreter.
void headrace_open_json(lua_State *state, headrace_json_settings *settings);
void headrace_open_msgpack(lua_State *state);
void headrace_open_struct(lua_State *state);
void headrace_open_bit(lua_State *state);

// A string builder in Lua's own memory, so that a raised error frees it: a userdata at a place of the stack.
typedef struct {
    char *bytes;
    size_t count;
    size_t capacity;
} headrace_text;
headrace_text *headrace_text_push(lua_State *state);
void headrace_text_add(lua_State *state, headrace_text *text, const void *bytes, size_t count);
void headrace_text_open(lua_State *state);

#endif
