// Between RESP and Lua's values, both ways.
// Source: redis.io, "Redis Lua API reference", "Data type conversion".
#include "internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *next;
    const char *end;
} reader;

// A line without its end.
static headrace_slice read_line(lua_State *state, reader *reader) {
    const char *start = reader->next;
    const char *end = memchr(start, '\r', (size_t)(reader->end - start));
    if (!end || reader->end - end < 2) luaL_error(state, "ERR the reply is not whole");
    reader->next = end + 2;
    return (headrace_slice){start, (size_t)(end - start)};
}

static long long read_number(lua_State *state, reader *reader) {
    headrace_slice line = read_line(state, reader);
    char digits[32];
    if (line.count == 0 || line.count >= sizeof digits) luaL_error(state, "ERR the reply has no number where one must be");
    memcpy(digits, line.bytes, line.count);
    digits[line.count] = 0;
    return strtoll(digits, NULL, 10);
}

static headrace_slice read_bytes(lua_State *state, reader *reader, long long count) {
    if (count < 0 || count > reader->end - reader->next - 2) luaL_error(state, "ERR the reply is not whole");
    headrace_slice bytes = {reader->next, (size_t)count};
    reader->next += count + 2;
    return bytes;
}

static void push_field(lua_State *state, const char *field, headrace_slice text) {
    lua_createtable(state, 0, 1);
    lua_pushlstring(state, text.bytes, text.count);
    lua_setfield(state, -2, field);
}

static void push_value(lua_State *state, reader *reader, int depth);

static void push_elements(lua_State *state, reader *reader, long long count, int depth) {
    // No element is shorter than 3 bytes.
    long long most = (reader->end - reader->next) / 3;
    lua_createtable(state, (int)(count < most ? count : most), 0);
    for (long long index = 1; index <= count; index++) {
        push_value(state, reader, depth + 1);
        lua_rawseti(state, -2, (int)index);
    }
}

static void push_value(lua_State *state, reader *reader, int depth) {
    if (depth > HEADRACE_DEPTH_MAX) luaL_error(state, "ERR the reply is nested too deeply");
    luaL_checkstack(state, 6, "the reply is nested too deeply");
    if (reader->next >= reader->end) luaL_error(state, "ERR the reply is not whole");
    char type = *reader->next++;
    switch (type) {
    case '+': push_field(state, "ok", read_line(state, reader)); return;
    case '-': push_field(state, "err", read_line(state, reader)); return;
    case ':': lua_pushnumber(state, (lua_Number)read_number(state, reader)); return;
    case '$': {
        long long count = read_number(state, reader);
        if (count < 0) {
            lua_pushboolean(state, 0);
            return;
        }
        headrace_slice bytes = read_bytes(state, reader, count);
        lua_pushlstring(state, bytes.bytes, bytes.count);
        return;
    }
    case '*':
    case '>': {
        long long count = read_number(state, reader);
        if (count < 0) lua_pushboolean(state, 0);
        else push_elements(state, reader, count, depth);
        return;
    }
    case '_':
        read_line(state, reader);
        lua_pushnil(state);
        return;
    case '#': lua_pushboolean(state, read_line(state, reader).bytes[0] == 't'); return;
    case ',': {
        headrace_slice line = read_line(state, reader);
        char digits[64];
        size_t count = line.count < sizeof digits ? line.count : sizeof digits - 1;
        memcpy(digits, line.bytes, count);
        digits[count] = 0;
        lua_createtable(state, 0, 1);
        lua_pushnumber(state, strtod(digits, NULL));
        lua_setfield(state, -2, "double");
        return;
    }
    case '(': push_field(state, "big_number", read_line(state, reader)); return;
    case '=': {
        headrace_slice bytes = read_bytes(state, reader, read_number(state, reader));
        lua_createtable(state, 0, 1);
        lua_createtable(state, 0, 2);
        size_t prefix = bytes.count < 4 ? bytes.count : 4;
        lua_pushlstring(state, bytes.bytes, prefix ? prefix - 1 : 0);
        lua_setfield(state, -2, "format");
        lua_pushlstring(state, bytes.bytes + prefix, bytes.count - prefix);
        lua_setfield(state, -2, "string");
        lua_setfield(state, -2, "verbatim_string");
        return;
    }
    case '%':
    case '~': {
        long long count = read_number(state, reader);
        lua_createtable(state, 0, 1);
        lua_newtable(state);
        for (long long index = 0; index < count; index++) {
            push_value(state, reader, depth + 1);
            if (type == '%') push_value(state, reader, depth + 1);
            else lua_pushboolean(state, 1);
            // nil and NaN are no keys.
            if (lua_isnil(state, -2) || (lua_type(state, -2) == LUA_TNUMBER && lua_tonumber(state, -2) != lua_tonumber(state, -2)))
                lua_pop(state, 2);
            else lua_rawset(state, -3);
        }
        lua_setfield(state, -2, type == '%' ? "map" : "set");
        return;
    }
    default: luaL_error(state, "ERR the reply has an unknown type");
    }
}

int headrace_push_reply(lua_State *state, const char *bytes, size_t count) {
    reader reader = {bytes, bytes + count};
    push_value(state, &reader, 0);
    return count > 0 && bytes[0] == '-';
}

// MARK: Lua to RESP

static void append_text(headrace_buffer *reply, const char *text) { headrace_buffer_append(reply, text, strlen(text)); }

static void append_line(headrace_buffer *reply, const char *type, const char *text, size_t count) {
    append_text(reply, type);
    for (size_t index = 0; index < count; index++) {
        char byte = text[index] == '\r' || text[index] == '\n' ? ' ' : text[index];
        headrace_buffer_append(reply, &byte, 1);
    }
    append_text(reply, "\r\n");
}

void headrace_append_error(headrace_buffer *reply, const char *text, size_t count) { append_line(reply, "-", text, count); }

static void append_count(headrace_buffer *reply, char type, long long count) {
    char line[32];
    int length = snprintf(line, sizeof line, "%c%lld\r\n", type, count);
    headrace_buffer_append(reply, line, (size_t)length);
}

static void append_bulk(headrace_buffer *reply, const char *bytes, size_t count) {
    append_count(reply, '$', (long long)count);
    headrace_buffer_append(reply, bytes, count);
    append_text(reply, "\r\n");
}

// Pushes a field of a table without asking its metatable.
static int raw_field(lua_State *state, int index, const char *name) {
    lua_pushstring(state, name);
    lua_rawget(state, index);
    return lua_type(state, -1);
}

static void append_double(headrace_buffer *reply, double number, int resp) {
    char digits[64];
    if (isinf(number)) snprintf(digits, sizeof digits, number > 0 ? "inf" : "-inf");
    else if (isnan(number)) snprintf(digits, sizeof digits, "nan");
    else snprintf(digits, sizeof digits, "%.17g", number);
    if (resp == 3) append_line(reply, ",", digits, strlen(digits));
    else append_bulk(reply, digits, strlen(digits));
}

static void append_table(lua_State *state, int table, int resp, headrace_buffer *reply, int depth) {
    if (raw_field(state, table, "err") == LUA_TSTRING) {
        size_t count;
        const char *text = lua_tolstring(state, -1, &count);
        headrace_append_error(reply, text, count);
        return;
    }
    if (raw_field(state, table, "ok") == LUA_TSTRING) {
        size_t count;
        const char *text = lua_tolstring(state, -1, &count);
        append_line(reply, "+", text, count);
        return;
    }
    if (raw_field(state, table, "double") == LUA_TNUMBER) {
        append_double(reply, lua_tonumber(state, -1), resp);
        return;
    }
    if (raw_field(state, table, "big_number") == LUA_TSTRING) {
        size_t count;
        const char *text = lua_tolstring(state, -1, &count);
        if (resp == 3) append_line(reply, "(", text, count);
        else append_bulk(reply, text, count);
        return;
    }
    if (raw_field(state, table, "verbatim_string") == LUA_TTABLE) {
        int inner = lua_gettop(state);
        if (raw_field(state, inner, "string") == LUA_TSTRING && raw_field(state, inner, "format") == LUA_TSTRING) {
            size_t count, format_count;
            const char *text = lua_tolstring(state, -2, &count);
            const char *format = lua_tolstring(state, -1, &format_count);
            if (resp == 3 && format_count == 3) {
                append_count(reply, '=', (long long)count + 4);
                headrace_buffer_append(reply, format, 3);
                append_text(reply, ":");
                headrace_buffer_append(reply, text, count);
                append_text(reply, "\r\n");
            } else {
                append_bulk(reply, text, count);
            }
            return;
        }
    }
    for (int is_map = 1; is_map >= 0; is_map--) {
        if (raw_field(state, table, is_map ? "map" : "set") != LUA_TTABLE) continue;
        int inner = lua_gettop(state);
        long long count = 0;
        for (lua_pushnil(state); lua_next(state, inner); lua_pop(state, 1)) count++;
        if (resp == 3) append_count(reply, is_map ? '%' : '~', count);
        else append_count(reply, '*', is_map ? 2 * count : count);
        for (lua_pushnil(state); lua_next(state, inner); lua_pop(state, 1)) {
            headrace_append_value(state, lua_gettop(state) - 1, resp, reply, depth + 1);
            if (is_map) headrace_append_value(state, lua_gettop(state), resp, reply, depth + 1);
        }
        return;
    }
    // Up to the first nil.
    long long count = 0;
    while (1) {
        lua_rawgeti(state, table, (int)count + 1);
        int is_end = lua_isnil(state, -1);
        lua_pop(state, 1);
        if (is_end) break;
        count++;
    }
    append_count(reply, '*', count);
    for (long long index = 1; index <= count; index++) {
        lua_rawgeti(state, table, (int)index);
        headrace_append_value(state, lua_gettop(state), resp, reply, depth + 1);
        lua_pop(state, 1);
    }
}

void headrace_append_value(lua_State *state, int index, int resp, headrace_buffer *reply, int depth) {
    if (depth > HEADRACE_DEPTH_MAX) luaL_error(state, "ERR reached lua stack limit");
    luaL_checkstack(state, 16, "reached lua stack limit");
    if (index < 0) index = lua_gettop(state) + 1 + index;
    int top = lua_gettop(state);
    switch (lua_type(state, index)) {
    case LUA_TSTRING: {
        size_t count;
        const char *text = lua_tolstring(state, index, &count);
        append_bulk(reply, text, count);
        break;
    }
    case LUA_TBOOLEAN:
        // It hangs on redis.setresp() whether it is one at all: otherwise false is what stands for nothing.
        if (headrace_lua_of(state)->call_resp != 3) append_text(reply, lua_toboolean(state, index) ? ":1\r\n" : resp == 3 ? "_\r\n" : "$-1\r\n");
        else if (resp == 3) append_text(reply, lua_toboolean(state, index) ? "#t\r\n" : "#f\r\n");
        else append_text(reply, lua_toboolean(state, index) ? ":1\r\n" : ":0\r\n");
        break;
    case LUA_TNUMBER: {
        double number = lua_tonumber(state, index);
        // Towards zero; what no integer can say becomes the nearest that can.
        long long whole = number >= 9223372036854775807.0 ? INT64_MAX : number <= -9223372036854775808.0 ? INT64_MIN
                          : number != number                                                             ? INT64_MIN
                                                                                                         : (long long)number;
        append_count(reply, ':', whole);
        break;
    }
    case LUA_TTABLE: append_table(state, index, resp, reply, depth); break;
    default: append_text(reply, resp == 3 ? "_\r\n" : "$-1\r\n");
    }
    lua_settop(state, top);
}
