// The interpreter: its memory, its sandbox, compiling and running.
#include "internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// MARK: Buffers

void headrace_buffer_append(headrace_buffer *buffer, const void *bytes, size_t count) {
    if (buffer->failed) return;
    if (count > buffer->count_max - buffer->count) {
        buffer->failed = 1;
        return;
    }
    if (buffer->capacity - buffer->count < count) {
        size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
        while (capacity - buffer->count < count) capacity *= 2;
        char *grown = realloc(buffer->bytes, capacity);
        if (!grown) {
            buffer->failed = 1;
            return;
        }
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    if (count) memcpy(buffer->bytes + buffer->count, bytes, count);
    buffer->count += count;
}

void headrace_buffer_free(headrace_buffer *buffer) {
    free(buffer->bytes);
    buffer->bytes = NULL;
    buffer->count = buffer->capacity = 0;
}

// A builder's memory is counted with Lua's own and freed by its collector.
static int text_collect(lua_State *state) {
    headrace_text *text = lua_touserdata(state, 1);
    void *context;
    lua_Alloc allocate = lua_getallocf(state, &context);
    if (text->bytes) allocate(context, text->bytes, text->capacity, 0);
    text->bytes = NULL;
    return 0;
}

static const char text_key = 0;

void headrace_text_open(lua_State *state) {
    lua_pushlightuserdata(state, (void *)&text_key);
    lua_createtable(state, 0, 1);
    lua_pushcfunction(state, text_collect);
    lua_setfield(state, -2, "__gc");
    lua_rawset(state, LUA_REGISTRYINDEX);
}

headrace_text *headrace_text_push(lua_State *state) {
    headrace_text *text = lua_newuserdata(state, sizeof *text);
    memset(text, 0, sizeof *text);
    lua_pushlightuserdata(state, (void *)&text_key);
    lua_rawget(state, LUA_REGISTRYINDEX);
    lua_setmetatable(state, -2);
    return text;
}

void headrace_text_add(lua_State *state, headrace_text *text, const void *bytes, size_t count) {
    if (text->capacity - text->count < count) {
        size_t capacity = text->capacity < 128 ? 128 : text->capacity;
        while (capacity - text->count < count) {
            if (capacity > ((size_t)1 << 40)) luaL_error(state, "not enough memory");
            capacity *= 2;
        }
        void *context;
        lua_Alloc allocate = lua_getallocf(state, &context);
        char *grown = allocate(context, text->bytes, text->capacity, capacity);
        if (!grown) luaL_error(state, "not enough memory");
        text->bytes = grown;
        text->capacity = capacity;
    }
    if (count) memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
}

// MARK: Memory and time

static void *allocate(void *context, void *block, size_t old, size_t new) {
    headrace_lua *lua = context;
    if (new == 0) {
        free(block);
        lua->bytes -= old;
        return NULL;
    }
    if (new > old && new - old > lua->bytes_max - lua->bytes) return NULL;
    void *moved = realloc(block, new);
    // Lua relies on it that shrinking does not fail.
    if (!moved) return new <= old ? block : NULL;
    lua->bytes += new - old;
    return moved;
}

static uint64_t milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void step(lua_State *state, lua_Debug *record) {
    (void)record;
    headrace_lua *lua = headrace_lua_of(state);
    int interrupted = atomic_load_explicit(&lua->interrupted, memory_order_relaxed);
    if (!interrupted && milliseconds() < lua->deadline) return;
    // From now on at every step: a script that catches the error in a loop is caught outside of its pcall.
    lua_sethook(state, step, LUA_MASKLINE | LUA_MASKCOUNT, 1);
    if (interrupted) luaL_error(state, "Script killed by user with SCRIPT KILL.");
    luaL_error(state, "Script ended: it took longer than it may.");
}

void headrace_lua_interrupt(headrace_lua *lua) {
    atomic_store_explicit(&lua->interrupted, 1, memory_order_relaxed);
}

void headrace_lua_uninterrupt(headrace_lua *lua) {
    atomic_store_explicit(&lua->interrupted, 0, memory_order_relaxed);
}


headrace_lua *headrace_lua_of(lua_State *state) {
    void *context;
    lua_getallocf(state, &context);
    return context;
}

// MARK: redis.*

// Keeps where an error came from, as Redis' error handler does.
static int error_handler(lua_State *state) {
    lua_Debug record;
    int found = lua_getstack(state, 1, &record) && lua_getinfo(state, "nSl", &record);
    if (found && strcmp(record.what, "C") == 0) found = lua_getstack(state, 2, &record) && lua_getinfo(state, "nSl", &record);
    if (!lua_istable(state, 1)) {
        size_t count;
        const char *text = lua_tolstring(state, 1, &count);
        lua_createtable(state, 0, 3);
        lua_pushliteral(state, "ERR ");
        if (text) lua_pushlstring(state, text, count);
        else lua_pushliteral(state, "(error object is not a string)");
        lua_concat(state, 2);
        lua_setfield(state, -2, "err");
        lua_replace(state, 1);
    }
    lua_settop(state, 1);
    if (found) {
        lua_pushstring(state, record.source);
        lua_setfield(state, 1, "source");
        lua_pushinteger(state, record.currentline);
        lua_setfield(state, 1, "line");
    }
    return 1;
}

static int raise_table(lua_State *state, const char *text) {
    lua_createtable(state, 0, 1);
    lua_pushstring(state, text);
    lua_setfield(state, -2, "err");
    return lua_error(state);
}

// The arguments as the words of a command, in Lua's memory: a raised error frees them. Raises for those that are none.
static headrace_slice *take_words(lua_State *state) {
    int count = lua_gettop(state);
    if (!headrace_lua_of(state)->options) raise_table(state, "ERR no script is running");
    if (count == 0) raise_table(state, "ERR Please specify at least one argument for this redis lib call");
    headrace_slice *words = lua_newuserdata(state, sizeof *words * (size_t)count);
    for (int index = 1; index <= count; index++) {
        if (lua_type(state, index) == LUA_TNUMBER) {
            // As Redis does, with 17 digits: lua_tostring would give 14.
            char digits[64];
            double number = lua_tonumber(state, index);
            int length = number == (double)(long long)number && number > -1e17 && number < 1e17
                             ? snprintf(digits, sizeof digits, "%lld", (long long)number)
                             : snprintf(digits, sizeof digits, "%.17g", number);
            lua_pushlstring(state, digits, (size_t)length);
            lua_replace(state, index);
        } else if (lua_type(state, index) != LUA_TSTRING) {
            raise_table(state, "ERR Lua redis lib command arguments must be strings or integers");
        }
        words[index - 1].bytes = lua_tolstring(state, index, &words[index - 1].count);
    }
    return words;
}

// Carries out a command. Returns 1 if the table on the stack is its error.
static int call(lua_State *state) {
    headrace_lua *lua = headrace_lua_of(state);
    int count = lua_gettop(state);
    headrace_slice *words = take_words(state);
    lua->reply.count = 0;
    lua->reply.failed = 0;
    lua->options->command(lua->options->context, words, (size_t)count, lua->call_resp, &lua->reply);
    if (lua->reply.failed) return raise_table(state, "ERR the reply is larger than a script may take");
    return headrace_push_reply(state, lua->reply.bytes, lua->reply.count);
}

static int redis_call(lua_State *state) {
    if (call(state)) return lua_error(state);
    return 1;
}

// An error is a value here, also one about the arguments.
static int redis_pcall_body(lua_State *state) {
    call(state);
    return 1;
}

static int redis_pcall(lua_State *state) {
    int count = lua_gettop(state);
    lua_pushcfunction(state, redis_pcall_body);
    lua_insert(state, 1);
    int status = lua_pcall(state, count, 1, 0);
    // The end of its time is no error of a command.
    if (status != 0 && (status == LUA_ERRMEM || !lua_istable(state, -1))) return lua_error(state);
    return 1;
}

// May the client that called the script do that?
static int redis_acl_check_cmd(lua_State *state) {
    headrace_lua *lua = headrace_lua_of(state);
    int count = lua_gettop(state);
    headrace_slice *words = take_words(state);
    int allowed = lua->options->allows(lua->options->context, words, (size_t)count);
    if (allowed < 0) return raise_table(state, "ERR Invalid command passed to redis.acl_check_cmd()");
    lua_pushboolean(state, allowed);
    return 1;
}

// Another argument gives the error as a value, and does not end the script.
static int push_argument_error(lua_State *state) {
    lua_createtable(state, 0, 1);
    lua_pushliteral(state, "ERR wrong number or type of arguments");
    lua_setfield(state, -2, "err");
    return 1;
}

static int redis_error_reply(lua_State *state) {
    if (lua_gettop(state) != 1 || lua_type(state, 1) != LUA_TSTRING) return push_argument_error(state);
    // Up to a zero byte and without line ends behind it, as in Redis.
    const char *text = lua_tostring(state, 1);
    if (*text == '-') text++;
    size_t count = strlen(text);
    while (count > 0 && (text[count - 1] == '\r' || text[count - 1] == '\n')) count--;
    lua_createtable(state, 0, 1);
    lua_pushstring(state, memchr(text, ' ', count) ? "" : "ERR ");
    lua_pushlstring(state, text, count);
    lua_concat(state, 2);
    lua_setfield(state, -2, "err");
    return 1;
}

static int redis_status_reply(lua_State *state) {
    if (lua_gettop(state) != 1 || lua_type(state, 1) != LUA_TSTRING) return push_argument_error(state);
    lua_createtable(state, 0, 1);
    lua_pushvalue(state, 1);
    lua_setfield(state, -2, "ok");
    return 1;
}

static int redis_log(lua_State *state) {
    headrace_lua *lua = headrace_lua_of(state);
    int count = lua_gettop(state);
    if (count < 2) return raise_table(state, "ERR redis.log() requires two arguments or more.");
    if (!lua_isnumber(state, 1)) return raise_table(state, "ERR First argument must be a number (log level).");
    double level = lua_tonumber(state, 1);
    if (!(level >= 0 && level <= 3)) return raise_table(state, "ERR Invalid debug level.");
    headrace_text *line = headrace_text_push(state);
    for (int index = 2; index <= count; index++) {
        size_t length;
        const char *text = lua_tolstring(state, index, &length);
        if (!text) continue;
        if (index > 2) headrace_text_add(state, line, " ", 1);
        headrace_text_add(state, line, text, length);
    }
    if (lua->options && lua->options->log) lua->options->log(lua->options->context, (int)level, line->bytes ? line->bytes : "", line->count);
    return 0;
}

static uint32_t rotate(uint32_t value, int count) { return value << count | value >> (32 - count); }

static void sha1_block(uint32_t hash[5], const unsigned char *block) {
    uint32_t words[80];
    for (int i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
        else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
        else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
        else f = b ^ c ^ d, k = 0xCA62C1D6;
        uint32_t next = rotate(a, 5) + f + e + k + words[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    hash[0] += a, hash[1] += b, hash[2] += c, hash[3] += d, hash[4] += e;
}

// FIPS 180-4, section 6.1.
void headrace_sha1_hex(const void *bytes, size_t count, char digits[41]) {
    uint32_t hash[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    const unsigned char *next = bytes;
    size_t left = count;
    for (; left >= 64; left -= 64, next += 64) sha1_block(hash, next);
    unsigned char tail[128] = {0};
    if (left) memcpy(tail, next, left);
    tail[left] = 0x80;
    size_t length = left < 56 ? 64 : 128;
    uint64_t bits = (uint64_t)count * 8;
    for (int i = 0; i < 8; i++) tail[length - 1 - i] = (unsigned char)(bits >> (8 * i));
    for (size_t offset = 0; offset < length; offset += 64) sha1_block(hash, tail + offset);
    for (int i = 0; i < 5; i++) snprintf(digits + 8 * i, 9, "%08x", hash[i]);
}

static int redis_sha1hex(lua_State *state) {
    if (lua_gettop(state) != 1) return raise_table(state, "ERR wrong number of arguments");
    // What is neither text nor number is no bytes, as in Redis.
    size_t count = 0;
    const char *text = lua_tolstring(state, 1, &count);
    char digits[41];
    headrace_sha1_hex(text ? text : "", count, digits);
    lua_pushlstring(state, digits, 40);
    return 1;
}

static int redis_setresp(lua_State *state) {
    if (lua_gettop(state) != 1) return raise_table(state, "ERR redis.setresp() requires one argument.");
    double version = lua_tonumber(state, 1);
    if (version != 2 && version != 3) return raise_table(state, "ERR RESP version must be 2 or 3.");
    headrace_lua_of(state)->call_resp = (int)version;
    return 0;
}

// Scripts are replicated by their effects here: these say what is so.
static int redis_true(lua_State *state) {
    lua_pushboolean(state, 1);
    return 1;
}
static int redis_nothing(lua_State *state) {
    (void)state;
    return 0;
}

static int redis_set_repl(lua_State *state) {
    if (lua_gettop(state) != 1) return raise_table(state, "ERR redis.set_repl() requires two arguments.");
    double flags = lua_tonumber(state, 1);
    if (!(flags > -1 && flags < 4))
        return raise_table(state, "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    return 0;
}

static const luaL_Reg redis_functions[] = {
    {"call", redis_call}, {"pcall", redis_pcall}, {"error_reply", redis_error_reply}, {"status_reply", redis_status_reply},
    {"log", redis_log}, {"sha1hex", redis_sha1hex}, {"setresp", redis_setresp}, {"replicate_commands", redis_true},
    {"breakpoint", redis_nothing}, {"debug", redis_nothing}, {"set_repl", redis_set_repl}, {"acl_check_cmd", redis_acl_check_cmd},
    {NULL, NULL},
};

// MARK: Random numbers

// The generator of drand48(3), of the interpreter's own: a script that sets the seed gets the numbers that it gets from Redis.
static uint32_t next_random(headrace_lua *lua) {
    lua->random = (lua->random * 0x5DEECE66D + 0xB) & 0xFFFFFFFFFFFF;
    return (uint32_t)(lua->random >> 17);
}

static void seed_random(headrace_lua *lua, uint32_t seed) { lua->random = (uint64_t)seed << 16 | 0x330E; }

static int math_random(lua_State *state) {
    double part = (double)(next_random(headrace_lua_of(state)) % INT32_MAX) / INT32_MAX;
    int32_t first = 1, last;
    switch (lua_gettop(state)) {
    case 0: lua_pushnumber(state, part); return 1;
    case 1:
        last = (int32_t)luaL_checkinteger(state, 1);
        luaL_argcheck(state, first <= last, 1, "interval is empty");
        break;
    case 2:
        first = (int32_t)luaL_checkinteger(state, 1);
        last = (int32_t)luaL_checkinteger(state, 2);
        luaL_argcheck(state, first <= last, 2, "interval is empty");
        break;
    default: return luaL_error(state, "wrong number of arguments");
    }
    // An interval of more than 2^31 numbers wraps, as in Redis.
    int32_t width = (int32_t)((uint32_t)last - (uint32_t)first + 1);
    lua_pushnumber(state, floor(part * width) + first);
    return 1;
}

static int math_randomseed(lua_State *state) {
    double seed = luaL_checknumber(state, 1);
    // The lowest 32 bits of what 64 hold, 0 of what they do not.
    seed_random(headrace_lua_of(state), seed >= -0x1p63 && seed < 0x1p63 ? (uint32_t)(int64_t)seed : 0);
    return 0;
}

// MARK: Sandbox

static int is_bytecode(const char *text, size_t count) { return count > 0 && text[0] == LUA_SIGNATURE[0]; }

static const char environment_key = 0;

static void push_environment(lua_State *state) {
    lua_pushlightuserdata(state, (void *)&environment_key);
    lua_rawget(state, LUA_REGISTRYINDEX);
}

// Gives nil and a reason, as Lua's own does; with the script's environment on success.
static int load_text(lua_State *state, const char *text, size_t count, const char *name) {
    if (is_bytecode(text, count)) {
        lua_pushnil(state);
        lua_pushliteral(state, "bytecode is not loaded");
        return 2;
    }
    if (luaL_loadbuffer(state, text, count, name) != 0) {
        lua_pushnil(state);
        lua_insert(state, -2);
        return 2;
    }
    push_environment(state);
    lua_setfenv(state, -2);
    return 1;
}

static int base_loadstring(lua_State *state) {
    size_t count;
    const char *text = luaL_checklstring(state, 1, &count);
    return load_text(state, text, count, luaL_optstring(state, 2, text));
}

// The pieces that a function gives, put together first: what they begin with decides whether they are text.
static int base_load(lua_State *state) {
    luaL_checktype(state, 1, LUA_TFUNCTION);
    const char *name = luaL_optstring(state, 2, "=(load)");
    headrace_text *all = headrace_text_push(state);
    while (1) {
        lua_pushvalue(state, 1);
        lua_call(state, 0, 1);
        size_t count = 0;
        const char *piece = lua_isnil(state, -1) ? NULL : luaL_checklstring(state, -1, &count);
        if (!piece || count == 0) break;
        headrace_text_add(state, all, piece, count);
        lua_pop(state, 1);
    }
    return load_text(state, all->bytes ? all->bytes : "", all->count, name);
}

static const char protected_key = 0;

static int is_protected(lua_State *state, int index) {
    if (!lua_getmetatable(state, index)) return 0;
    lua_pushlightuserdata(state, (void *)&protected_key);
    lua_rawget(state, -2);
    int found = lua_toboolean(state, -1);
    lua_pop(state, 2);
    return found;
}

static int refuse_change(lua_State *state) { return luaL_error(state, "Attempt to modify a readonly table"); }

// As Lua's own, but that of a command's error a script gets the message and not the table, as in Redis.
static int base_pcall(lua_State *state) {
    luaL_checkany(state, 1);
    int status = lua_pcall(state, lua_gettop(state) - 1, LUA_MULTRET, 0);
    lua_pushboolean(state, status == 0);
    lua_insert(state, 1);
    if (status != 0 && lua_istable(state, -1)) {
        lua_pushliteral(state, "err");
        lua_rawget(state, -2);
        if (lua_type(state, -1) == LUA_TSTRING) lua_remove(state, -2);
        else lua_pop(state, 1);
    }
    return lua_gettop(state);
}

static int base_rawset(lua_State *state) {
    luaL_checktype(state, 1, LUA_TTABLE);
    luaL_checkany(state, 2);
    luaL_checkany(state, 3);
    if (is_protected(state, 1)) return refuse_change(state);
    lua_settop(state, 3);
    lua_rawset(state, 1);
    return 1;
}

static int base_setmetatable(lua_State *state) {
    luaL_checktype(state, 1, LUA_TTABLE);
    if (!lua_isnoneornil(state, 2)) luaL_checktype(state, 2, LUA_TTABLE);
    if (is_protected(state, 1)) return refuse_change(state);
    if (luaL_getmetafield(state, 1, "__metatable")) return luaL_error(state, "cannot change a protected metatable");
    lua_settop(state, 2);
    lua_setmetatable(state, 1);
    return 1;
}

// Functions that change a table without asking its metatable: not a protected one.
static int guarded(lua_State *state) {
    if (lua_istable(state, 1) && is_protected(state, 1)) return refuse_change(state);
    lua_pushvalue(state, lua_upvalueindex(1));
    lua_insert(state, 1);
    lua_call(state, lua_gettop(state) - 1, LUA_MULTRET);
    return lua_gettop(state);
}

static int missing_global(lua_State *state) {
    // 1: the environment, 2: the name; upvalue: the real globals.
    lua_pushvalue(state, 2);
    lua_rawget(state, lua_upvalueindex(1));
    if (!lua_isnil(state, -1)) return 1;
    // KEYS and ARGV are there whenever a script runs.
    const char *name = lua_type(state, 2) == LUA_TSTRING ? lua_tostring(state, 2) : "?";
    return luaL_error(state, "Script attempted to access nonexistent global variable '%s'", name);
}

// Replaces the table on the stack by one that shows it and cannot be changed. `global` tables raise for what is not there.
static void protect(lua_State *state, int global) {
    lua_createtable(state, 0, 0);
    lua_createtable(state, 0, 4);
    lua_pushvalue(state, -3);
    if (global) lua_pushcclosure(state, missing_global, 1);
    lua_setfield(state, -2, "__index");
    lua_pushcfunction(state, refuse_change);
    lua_setfield(state, -2, "__newindex");
    lua_pushboolean(state, 0);
    lua_setfield(state, -2, "__metatable");
    lua_pushlightuserdata(state, (void *)&protected_key);
    lua_pushboolean(state, 1);
    lua_rawset(state, -3);
    lua_setmetatable(state, -2);
    lua_remove(state, -2);
}

static void open_library(lua_State *state, const char *name, lua_CFunction open) {
    lua_pushcfunction(state, open);
    lua_pushstring(state, name);
    lua_call(state, 1, 0);
}

// On an empty stack: the globals as scripts see them.
static int open_all(lua_State *state) {
    headrace_text_open(state);
    open_library(state, "", luaopen_base);
    open_library(state, LUA_TABLIBNAME, luaopen_table);
    open_library(state, LUA_STRLIBNAME, luaopen_string);
    open_library(state, LUA_MATHLIBNAME, luaopen_math);
    static const char *const removed[] = {
        "dofile", "loadfile", "print", "newproxy", "getfenv", "setfenv", "require", "module", "package", "_VERSION", "gcinfo", NULL,
    };
    for (int index = 0; removed[index]; index++) {
        lua_pushnil(state);
        lua_setglobal(state, removed[index]);
    }
    static const luaL_Reg replaced[] = {
        {"load", base_load}, {"pcall", base_pcall}, {"loadstring", base_loadstring}, {"rawset", base_rawset}, {"setmetatable", base_setmetatable}, {NULL, NULL},
    };
    for (int index = 0; replaced[index].name; index++) {
        lua_pushcfunction(state, replaced[index].func);
        lua_setglobal(state, replaced[index].name);
    }
    lua_getglobal(state, "table");
    static const char *const changing[] = {"insert", "remove", "sort", "setn", NULL};
    for (int index = 0; changing[index]; index++) {
        lua_getfield(state, -1, changing[index]);
        lua_pushcclosure(state, guarded, 1);
        lua_setfield(state, -2, changing[index]);
    }
    lua_pop(state, 1);
    lua_getglobal(state, "math");
    lua_pushcfunction(state, math_random);
    lua_setfield(state, -2, "random");
    lua_pushcfunction(state, math_randomseed);
    lua_setfield(state, -2, "randomseed");
    lua_pop(state, 1);
    lua_getglobal(state, "string");
    lua_pushnil(state);
    lua_setfield(state, -2, "dump");
    lua_pop(state, 1);
    // The metatable that all strings share.
    lua_pushliteral(state, "");
    lua_getmetatable(state, -1);
    lua_pushboolean(state, 0);
    lua_setfield(state, -2, "__metatable");
    lua_pop(state, 2);

    lua_newtable(state);
    luaL_register(state, NULL, redis_functions);
    static const struct { const char *name; int value; } numbers[] = {
        {"LOG_DEBUG", 0}, {"LOG_VERBOSE", 1}, {"LOG_NOTICE", 2}, {"LOG_WARNING", 3},
        {"REPL_NONE", 0}, {"REPL_AOF", 1}, {"REPL_SLAVE", 2}, {"REPL_REPLICA", 2}, {"REPL_ALL", 3},
    };
    for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++) {
        lua_pushinteger(state, numbers[index].value);
        lua_setfield(state, -2, numbers[index].name);
    }
    lua_pushliteral(state, "7.2.0");
    lua_setfield(state, -2, "REDIS_VERSION");
    lua_pushinteger(state, 0x070200);
    lua_setfield(state, -2, "REDIS_VERSION_NUM");
    lua_setglobal(state, "redis");
    headrace_open_json(state, &headrace_lua_of(state)->json);
    lua_setglobal(state, "cjson");
    headrace_open_msgpack(state);
    lua_setglobal(state, "cmsgpack");
    headrace_open_struct(state);
    lua_setglobal(state, "struct");
    headrace_open_bit(state);
    lua_setglobal(state, "bit");

    static const char *const libraries[] = {"string", "table", "math", "coroutine", "redis", "cjson", "cmsgpack", "struct", "bit", NULL};
    for (int index = 0; libraries[index]; index++) {
        lua_getglobal(state, libraries[index]);
        if (!lua_istable(state, -1)) {
            lua_pop(state, 1);
            continue;
        }
        protect(state, 0);
        if (strcmp(libraries[index], "redis") == 0) {
            lua_pushvalue(state, -1);
            lua_setglobal(state, "server");
        }
        lua_setglobal(state, libraries[index]);
    }
    lua_pushvalue(state, LUA_GLOBALSINDEX);
    protect(state, 1);
    lua_pushvalue(state, -1);
    lua_setglobal(state, "_G");
    lua_pushlightuserdata(state, (void *)&environment_key);
    lua_insert(state, -2);
    lua_rawset(state, LUA_REGISTRYINDEX);
    return 0;
}

headrace_lua *headrace_lua_create(size_t bytes_max) {
    headrace_lua *lua = calloc(1, sizeof *lua);
    if (!lua) return NULL;
    lua->bytes_max = bytes_max;
    // A command's reply is kept once beside Lua's own memory.
    lua->reply.count_max = bytes_max;
    headrace_json_restore(&lua->json);
    // Where drand48(3) begins.
    seed_random(lua, 0x1234ABCD);
    lua->state = lua_newstate(allocate, lua);
    if (!lua->state || lua_cpcall(lua->state, open_all, NULL) != 0) {
        headrace_lua_destroy(lua);
        return NULL;
    }
    return lua;
}

void headrace_lua_destroy(headrace_lua *lua) {
    if (!lua) return;
    if (lua->state) lua_close(lua->state);
    headrace_buffer_free(&lua->reply);
    free(lua);
}

void headrace_lua_restore(headrace_lua *lua) { headrace_json_restore(&lua->json); }

size_t headrace_lua_bytes(const headrace_lua *lua) { return lua->bytes; }

// MARK: Compiling

typedef struct {
    const char *source;
    size_t count;
    int script;
} compile_request;

static int compile(lua_State *state) {
    compile_request *request = lua_touserdata(state, 1);
    if (luaL_loadbuffer(state, request->source, request->count, "@user_script") != 0) return lua_error(state);
    push_environment(state);
    lua_setfenv(state, -2);
    request->script = luaL_ref(state, LUA_REGISTRYINDEX);
    return 0;
}

int headrace_lua_compile(headrace_lua *lua, const char *source, size_t count, headrace_buffer *error) {
    if (is_bytecode(source, count)) {
        static const char text[] = "bytecode is not loaded";
        headrace_buffer_append(error, text, sizeof text - 1);
        return 0;
    }
    compile_request request = {source, count, 0};
    if (lua_cpcall(lua->state, compile, &request) == 0) return request.script;
    size_t length;
    const char *text = lua_tolstring(lua->state, -1, &length);
    if (text) headrace_buffer_append(error, text, length);
    lua_settop(lua->state, 0);
    return 0;
}

static int forget(lua_State *state) {
    luaL_unref(state, LUA_REGISTRYINDEX, *(int *)lua_touserdata(state, 1));
    return 0;
}

void headrace_lua_forget(headrace_lua *lua, int script) {
    // When there is no memory for the list of free numbers, the script stays: memory, not a mistake.
    lua_cpcall(lua->state, forget, &script);
    lua_settop(lua->state, 0);
}

// MARK: Running

typedef struct {
    headrace_lua *lua;
    int script;
    headrace_buffer *reply;
} run_request;

static void set_words(lua_State *state, const char *name, const headrace_slice *words, size_t count) {
    lua_createtable(state, count < 1000000 ? (int)count : 0, 0);
    for (size_t index = 0; index < count; index++) {
        lua_pushlstring(state, words[index].bytes ? words[index].bytes : "", words[index].count);
        lua_rawseti(state, -2, (int)index + 1);
    }
    lua_setglobal(state, name);
}

static int run(lua_State *state) {
    run_request *request = lua_touserdata(state, 1);
    const headrace_lua_run_options *options = request->lua->options;
    lua_settop(state, 0);
    set_words(state, "KEYS", options->keys, options->key_count);
    set_words(state, "ARGV", options->arguments, options->argument_count);
    lua_pushcfunction(state, error_handler);
    lua_rawgeti(state, LUA_REGISTRYINDEX, request->script);
    lua_sethook(state, step, LUA_MASKCOUNT, 1000);
    int status = lua_pcall(state, 0, 1, 1);
    lua_sethook(state, NULL, 0, 0);
    if (status == 0) {
        headrace_append_value(state, -1, options->resp, request->reply, 0);
        return 0;
    }
    return lua_error(state);
}

// Appends the error that is on the stack. Unprotected: it only reads strings of a plain table, which takes no memory and raises nothing.
static void append_failure(headrace_lua *lua, headrace_buffer *reply) {
    lua_State *state = lua->state;
    char line[1024];
    const char *message = NULL, *source = NULL;
    int number = -1;
    if (lua_istable(state, -1)) {
        int table = lua_gettop(state);
        lua_pushnil(state);
        while (lua_next(state, table)) {
            if (lua_type(state, -2) == LUA_TSTRING) {
                const char *key = lua_tostring(state, -2);
                if (strcmp(key, "err") == 0 && lua_type(state, -1) == LUA_TSTRING) message = lua_tostring(state, -1);
                if (strcmp(key, "source") == 0 && lua_type(state, -1) == LUA_TSTRING) source = lua_tostring(state, -1);
                if (strcmp(key, "line") == 0 && lua_type(state, -1) == LUA_TNUMBER) number = (int)lua_tonumber(state, -1);
            }
            lua_pop(state, 1);
        }
    } else if (lua_type(state, -1) == LUA_TSTRING) {
        message = lua_tostring(state, -1);
    }
    int count;
    if (message && source)
        count = snprintf(line, sizeof line, "%.600s script: %.40s, on %.100s:%d.", message, lua->options->digest, source, number);
    else if (message && strchr(message, ' ') && message[0] >= 'A' && message[0] <= 'Z')
        count = snprintf(line, sizeof line, "%.600s script: %.40s", message, lua->options->digest);
    else
        count = snprintf(line, sizeof line, "ERR %.600s script: %.40s", message ? message : "unknown error", lua->options->digest);
    headrace_append_error(reply, line, (size_t)count < sizeof line ? (size_t)count : sizeof line - 1);
}

static int collect(lua_State *state) {
    lua_gc(state, LUA_GCCOLLECT, 0);
    return 0;
}

void headrace_lua_run(headrace_lua *lua, int script, const headrace_lua_run_options *options, headrace_buffer *reply) {
    size_t start = reply->count;
    run_request request = {lua, script, reply};
    lua->options = options;
    lua->call_resp = 2;
    lua->deadline = milliseconds() + options->milliseconds_max;
    if (lua_cpcall(lua->state, run, &request) != 0) {
        reply->count = start;
        reply->failed = 0;
        append_failure(lua, reply);
    } else if (reply->failed) {
        static const char text[] = "ERR the script's reply is too large";
        reply->count = start;
        reply->failed = 0;
        headrace_append_error(reply, text, sizeof text - 1);
    }
    lua_sethook(lua->state, NULL, 0, 0);
    lua_settop(lua->state, 0);
    lua->options = NULL;
    // A large reply's memory is not kept.
    if (lua->reply.capacity > 1 << 20) headrace_buffer_free(&lua->reply);
    // Before the next script has no room: what a script leaves is garbage, and Lua collects only when it has doubled.
    if (lua->bytes > lua->bytes_max / 2) lua_cpcall(lua->state, collect, NULL);
    lua_settop(lua->state, 0);
}
