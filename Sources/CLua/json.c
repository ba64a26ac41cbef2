// cjson: encode, decode, null, and the settings that scripts use.
// Source: RFC 8259; Lua CJSON 2.1 manual (what is an array, how numbers are written, what is refused).
#include "internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: Encode

static void encode(lua_State *state, headrace_text *text, int index, int depth);

static void encode_string(lua_State *state, headrace_text *text, int index) {
    size_t count;
    const char *bytes = lua_tolstring(state, index, &count);
    headrace_text_add(state, text, "\"", 1);
    size_t start = 0;
    for (size_t at = 0; at < count; at++) {
        unsigned char byte = (unsigned char)bytes[at];
        char escape[8];
        int length = 0;
        switch (byte) {
        case '"': length = snprintf(escape, sizeof escape, "\\\""); break;
        case '\\': length = snprintf(escape, sizeof escape, "\\\\"); break;
        case '/': length = snprintf(escape, sizeof escape, "\\/"); break;
        case '\b': length = snprintf(escape, sizeof escape, "\\b"); break;
        case '\f': length = snprintf(escape, sizeof escape, "\\f"); break;
        case '\n': length = snprintf(escape, sizeof escape, "\\n"); break;
        case '\r': length = snprintf(escape, sizeof escape, "\\r"); break;
        case '\t': length = snprintf(escape, sizeof escape, "\\t"); break;
        default:
            if (byte < 0x20 || byte == 0x7F) length = snprintf(escape, sizeof escape, "\\u%04x", byte);
        }
        if (!length) continue;
        headrace_text_add(state, text, bytes + start, at - start);
        headrace_text_add(state, text, escape, (size_t)length);
        start = at + 1;
    }
    headrace_text_add(state, text, bytes + start, count - start);
    headrace_text_add(state, text, "\"", 1);
}

static void encode_number(lua_State *state, headrace_text *text, double number) {
    if (isinf(number) || isnan(number)) luaL_error(state, "Cannot serialise number: must not be NaN or Inf");
    char digits[64];
    int length = snprintf(digits, sizeof digits, "%.14g", number);
    headrace_text_add(state, text, digits, (size_t)length);
}

// The largest index if all keys are whole numbers from 1 on, -1 otherwise; 0 for a table without keys.
static double array_count(lua_State *state, int index) {
    double largest = 0;
    double count = 0;
    for (lua_pushnil(state); lua_next(state, index); lua_pop(state, 1)) {
        if (lua_type(state, -2) != LUA_TNUMBER) {
            lua_pop(state, 2);
            return -1;
        }
        double key = lua_tonumber(state, -2);
        if (key < 1 || floor(key) != key) {
            lua_pop(state, 2);
            return -1;
        }
        if (key > largest) largest = key;
        count++;
    }
    // More than half missing, beyond ten: an array of nulls is not what was meant.
    if (largest > 10 && largest > 2 * count) luaL_error(state, "Cannot serialise table: excessively sparse array");
    return largest;
}

static void encode_table(lua_State *state, headrace_text *text, int index, int depth) {
    double count = array_count(state, index);
    if (count > 0) {
        headrace_text_add(state, text, "[", 1);
        for (int element = 1; element <= (int)count; element++) {
            if (element > 1) headrace_text_add(state, text, ",", 1);
            lua_rawgeti(state, index, element);
            encode(state, text, lua_gettop(state), depth + 1);
            lua_pop(state, 1);
        }
        headrace_text_add(state, text, "]", 1);
        return;
    }
    headrace_text_add(state, text, "{", 1);
    int is_first = 1;
    for (lua_pushnil(state); lua_next(state, index); lua_pop(state, 1)) {
        if (!is_first) headrace_text_add(state, text, ",", 1);
        is_first = 0;
        if (lua_type(state, -2) == LUA_TNUMBER) {
            headrace_text_add(state, text, "\"", 1);
            encode_number(state, text, lua_tonumber(state, -2));
            headrace_text_add(state, text, "\"", 1);
        } else if (lua_type(state, -2) == LUA_TSTRING) {
            encode_string(state, text, lua_gettop(state) - 1);
        } else {
            luaL_error(state, "Cannot serialise table: table key must be a number or string");
        }
        headrace_text_add(state, text, ":", 1);
        encode(state, text, lua_gettop(state), depth + 1);
    }
    headrace_text_add(state, text, "}", 1);
}

static void encode(lua_State *state, headrace_text *text, int index, int depth) {
    if (depth > HEADRACE_DEPTH_MAX) luaL_error(state, "Cannot serialise, excessive depth (%d)", depth);
    luaL_checkstack(state, 6, "Cannot serialise, excessive depth");
    switch (lua_type(state, index)) {
    case LUA_TSTRING: encode_string(state, text, index); return;
    case LUA_TNUMBER: encode_number(state, text, lua_tonumber(state, index)); return;
    case LUA_TBOOLEAN:
        if (lua_toboolean(state, index)) headrace_text_add(state, text, "true", 4);
        else headrace_text_add(state, text, "false", 5);
        return;
    case LUA_TTABLE: encode_table(state, text, index, depth); return;
    case LUA_TNIL: headrace_text_add(state, text, "null", 4); return;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(state, index) == NULL) {
            headrace_text_add(state, text, "null", 4);
            return;
        }
    }
    luaL_error(state, "Cannot serialise %s: type not supported", lua_typename(state, lua_type(state, index)));
}

static int json_encode(lua_State *state) {
    luaL_argcheck(state, lua_gettop(state) == 1, 1, "expected 1 argument");
    headrace_text *text = headrace_text_push(state);
    encode(state, text, 1, 1);
    lua_pushlstring(state, text->bytes ? text->bytes : "", text->count);
    return 1;
}

// MARK: Decode

typedef struct {
    const char *start;
    const char *next;
    const char *end;
    headrace_text *text;
} parser;

static void refuse(lua_State *state, parser *parser, const char *expected) {
    luaL_error(state, "Expected %s but found invalid token at character %d", expected, (int)(parser->next - parser->start) + 1);
}

static void skip_blanks(parser *parser) {
    while (parser->next < parser->end) {
        char byte = *parser->next;
        if (byte != ' ' && byte != '\t' && byte != '\n' && byte != '\r') return;
        parser->next++;
    }
}

static int take(parser *parser, const char *word) {
    size_t count = strlen(word);
    if ((size_t)(parser->end - parser->next) < count || memcmp(parser->next, word, count) != 0) return 0;
    parser->next += count;
    return 1;
}

static int read_hex(parser *parser) {
    if (parser->end - parser->next < 4) return -1;
    int value = 0;
    for (int index = 0; index < 4; index++) {
        char byte = parser->next[index];
        int digit = byte >= '0' && byte <= '9' ? byte - '0' : (byte | 0x20) >= 'a' && (byte | 0x20) <= 'f' ? (byte | 0x20) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    parser->next += 4;
    return value;
}

static void add_code_point(lua_State *state, headrace_text *text, unsigned code) {
    char bytes[4];
    size_t count;
    if (code < 0x80) bytes[0] = (char)code, count = 1;
    else if (code < 0x800) bytes[0] = (char)(0xC0 | code >> 6), bytes[1] = (char)(0x80 | (code & 0x3F)), count = 2;
    else if (code < 0x10000)
        bytes[0] = (char)(0xE0 | code >> 12), bytes[1] = (char)(0x80 | (code >> 6 & 0x3F)), bytes[2] = (char)(0x80 | (code & 0x3F)), count = 3;
    else
        bytes[0] = (char)(0xF0 | code >> 18), bytes[1] = (char)(0x80 | (code >> 12 & 0x3F)), bytes[2] = (char)(0x80 | (code >> 6 & 0x3F)),
        bytes[3] = (char)(0x80 | (code & 0x3F)), count = 4;
    headrace_text_add(state, text, bytes, count);
}

// Behind the opening quote.
static void decode_string(lua_State *state, parser *parser) {
    headrace_text *text = parser->text;
    text->count = 0;
    while (1) {
        const char *start = parser->next;
        while (parser->next < parser->end && *parser->next != '"' && *parser->next != '\\' && *parser->next) parser->next++;
        headrace_text_add(state, text, start, (size_t)(parser->next - start));
        // Redis' cjson takes control characters, too.
        if (parser->next >= parser->end || !*parser->next) refuse(state, parser, "the end of a string");
        if (*parser->next++ == '"') break;
        if (parser->next >= parser->end) refuse(state, parser, "an escape");
        switch (*parser->next++) {
        case '"': headrace_text_add(state, text, "\"", 1); break;
        case '\\': headrace_text_add(state, text, "\\", 1); break;
        case '/': headrace_text_add(state, text, "/", 1); break;
        case 'b': headrace_text_add(state, text, "\b", 1); break;
        case 'f': headrace_text_add(state, text, "\f", 1); break;
        case 'n': headrace_text_add(state, text, "\n", 1); break;
        case 'r': headrace_text_add(state, text, "\r", 1); break;
        case 't': headrace_text_add(state, text, "\t", 1); break;
        case 'u': {
            int code = read_hex(parser);
            if (code < 0 || (code >= 0xDC00 && code < 0xE000)) refuse(state, parser, "a code point");
            if (code >= 0xD800 && code < 0xDC00) {
                int low = take(parser, "\\u") ? read_hex(parser) : -1;
                if (low < 0xDC00 || low >= 0xE000) refuse(state, parser, "the second half of a pair");
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            }
            add_code_point(state, text, (unsigned)code);
            break;
        }
        default: refuse(state, parser, "an escape");
        }
    }
    lua_pushlstring(state, text->bytes ? text->bytes : "", text->count);
}

static void decode_number(lua_State *state, parser *parser) {
    char digits[128];
    size_t count = 0;
    while (parser->next + count < parser->end && count < sizeof digits - 1 && strchr("+-0123456789.eE", parser->next[count]) &&
           parser->next[count])
        digits[count] = parser->next[count], count++;
    digits[count] = 0;
    char *end;
    double number = strtod(digits, &end);
    if (end == digits) refuse(state, parser, "value");
    parser->next += end - digits;
    lua_pushnumber(state, number);
}

static void decode(lua_State *state, parser *parser, int depth) {
    if (depth > HEADRACE_DEPTH_MAX) luaL_error(state, "Found too many nested data structures (%d)", depth);
    luaL_checkstack(state, 6, "Found too many nested data structures");
    skip_blanks(parser);
    if (parser->next >= parser->end) refuse(state, parser, "value");
    switch (*parser->next) {
    case '{':
        parser->next++;
        lua_newtable(state);
        skip_blanks(parser);
        if (take(parser, "}")) return;
        while (1) {
            skip_blanks(parser);
            if (!take(parser, "\"")) refuse(state, parser, "object key string");
            decode_string(state, parser);
            skip_blanks(parser);
            if (!take(parser, ":")) refuse(state, parser, "colon");
            decode(state, parser, depth + 1);
            lua_rawset(state, -3);
            skip_blanks(parser);
            if (take(parser, "}")) return;
            if (!take(parser, ",")) refuse(state, parser, "comma or object end");
        }
    case '[':
        parser->next++;
        lua_newtable(state);
        skip_blanks(parser);
        if (take(parser, "]")) return;
        for (int index = 1;; index++) {
            decode(state, parser, depth + 1);
            lua_rawseti(state, -2, index);
            skip_blanks(parser);
            if (take(parser, "]")) return;
            if (!take(parser, ",")) refuse(state, parser, "comma or array end");
        }
    case '"':
        parser->next++;
        decode_string(state, parser);
        return;
    case 't':
        if (!take(parser, "true")) refuse(state, parser, "value");
        lua_pushboolean(state, 1);
        return;
    case 'f':
        if (!take(parser, "false")) refuse(state, parser, "value");
        lua_pushboolean(state, 0);
        return;
    case 'n':
        if (!take(parser, "null")) refuse(state, parser, "value");
        lua_pushlightuserdata(state, NULL);
        return;
    default: decode_number(state, parser);
    }
}

static int json_decode(lua_State *state) {
    luaL_argcheck(state, lua_gettop(state) == 1, 1, "expected 1 argument");
    size_t count;
    const char *bytes = luaL_checklstring(state, 1, &count);
    parser parser = {bytes, bytes, bytes + count, headrace_text_push(state)};
    decode(state, &parser, 1);
    skip_blanks(&parser);
    if (parser.next != parser.end) refuse(state, &parser, "the end");
    return 1;
}

void headrace_open_json(lua_State *state) {
    static const luaL_Reg functions[] = {{"encode", json_encode}, {"decode", json_decode}, {NULL, NULL}};
    lua_newtable(state);
    luaL_register(state, NULL, functions);
    lua_pushlightuserdata(state, NULL);
    lua_setfield(state, -2, "null");
}
