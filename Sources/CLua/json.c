// cjson: encode, decode, null, and the settings that scripts use.
// Source: RFC 8259; Lua CJSON 2.1 manual (what is an array, how numbers are written, what is refused).
#include "internal.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// MARK: Settings

void headrace_json_restore(headrace_json_settings *settings) {
    *settings = (headrace_json_settings){
        .sparse_ratio = 2, .sparse_safe = 10, .encode_depth_max = 1000, .decode_depth_max = 1000, .precision = 14, .keeps_buffer = 1,
        .decode_invalid = 1,
    };
}

// Of the table whose function is called.
static headrace_json_settings *settings_of(lua_State *state) { return lua_touserdata(state, lua_upvalueindex(1)); }

// With nil for each argument that is missing.
static headrace_json_settings *take_arguments(lua_State *state, int most) {
    luaL_argcheck(state, lua_gettop(state) <= most, most + 1, "found too many arguments");
    lua_settop(state, most);
    return settings_of(state);
}

// Sets, unless the argument is nil, and pushes what is set.
static void set_integer(lua_State *state, int index, int *setting, int least, int most) {
    if (!lua_isnil(state, index)) {
        int value = (int)luaL_checkinteger(state, index);
        // Of the first argument, whichever it is: so does Lua CJSON.
        if (value < least || value > most) luaL_argerror(state, 1, lua_pushfstring(state, "expected integer between %d and %d", least, most));
        *setting = value;
    }
    lua_pushinteger(state, *setting);
}

// The same with names, of which the first two are also said as false and true.
static void set_choice(lua_State *state, int index, int *setting, const char *third) {
    const char *const names[] = {"off", "on", third, NULL};
    if (lua_isboolean(state, index)) *setting = lua_toboolean(state, index);
    else if (!lua_isnil(state, index)) *setting = luaL_checkoption(state, index, NULL, names);
    if (*setting < 2) lua_pushboolean(state, *setting);
    else lua_pushstring(state, names[*setting]);
}

static int json_encode_sparse_array(lua_State *state) {
    headrace_json_settings *settings = take_arguments(state, 3);
    set_choice(state, 1, &settings->sparse_as_object, NULL);
    set_integer(state, 2, &settings->sparse_ratio, 0, INT_MAX);
    set_integer(state, 3, &settings->sparse_safe, 0, INT_MAX);
    return 3;
}

static int json_encode_max_depth(lua_State *state) {
    set_integer(state, 1, &take_arguments(state, 1)->encode_depth_max, 1, INT_MAX);
    return 1;
}

static int json_decode_max_depth(lua_State *state) {
    set_integer(state, 1, &take_arguments(state, 1)->decode_depth_max, 1, INT_MAX);
    return 1;
}

static int json_encode_number_precision(lua_State *state) {
    set_integer(state, 1, &take_arguments(state, 1)->precision, 1, 14);
    return 1;
}

static int json_encode_keep_buffer(lua_State *state) {
    set_choice(state, 1, &take_arguments(state, 1)->keeps_buffer, NULL);
    return 1;
}

static int json_encode_invalid_numbers(lua_State *state) {
    set_choice(state, 1, &take_arguments(state, 1)->encode_invalid, "null");
    return 1;
}

static int json_decode_invalid_numbers(lua_State *state) {
    set_choice(state, 1, &take_arguments(state, 1)->decode_invalid, NULL);
    return 1;
}

// MARK: Encode

typedef struct {
    const headrace_json_settings *settings;
    headrace_text *text;
} encoder;

static void encode(lua_State *state, const encoder *encoder, int index, int depth);

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

static void encode_number(lua_State *state, const encoder *encoder, double number) {
    int invalid = encoder->settings->encode_invalid;
    char digits[64];
    int length;
    if (isfinite(number)) length = snprintf(digits, sizeof digits, "%.*g", encoder->settings->precision, number);
    else if (invalid == 2) length = snprintf(digits, sizeof digits, "null");
    else if (invalid == 1) length = snprintf(digits, sizeof digits, isnan(number) ? "nan" : number > 0 ? "inf" : "-inf");
    else length = luaL_error(state, "Cannot serialise number: must not be NaN or Inf");
    headrace_text_add(state, encoder->text, digits, (size_t)length);
}

// The largest index if all keys are whole numbers from 1 on, -1 otherwise; 0 for a table without keys.
static int array_count(lua_State *state, const headrace_json_settings *settings, int index) {
    double largest = 0;
    double count = 0;
    for (lua_pushnil(state); lua_next(state, index); lua_pop(state, 1)) {
        double key = lua_type(state, -2) == LUA_TNUMBER ? lua_tonumber(state, -2) : 0;
        if (key < 1 || floor(key) != key) {
            lua_pop(state, 2);
            return -1;
        }
        if (key > largest) largest = key;
        count++;
    }
    if (largest > INT_MAX) return -1;
    // An array of so many nulls is not what was meant.
    if (settings->sparse_ratio > 0 && largest > settings->sparse_safe && largest > count * settings->sparse_ratio) {
        if (!settings->sparse_as_object) luaL_error(state, "Cannot serialise table: excessively sparse array");
        return -1;
    }
    return (int)largest;
}

static void encode_table(lua_State *state, const encoder *encoder, int index, int depth) {
    headrace_text *text = encoder->text;
    if (depth > encoder->settings->encode_depth_max || depth > HEADRACE_NESTING_MAX || !lua_checkstack(state, 6))
        luaL_error(state, "Cannot serialise, excessive nesting (%d)", depth);
    int count = array_count(state, encoder->settings, index);
    if (count > 0) {
        headrace_text_add(state, text, "[", 1);
        for (int element = 0; element < count; element++) {
            if (element > 0) headrace_text_add(state, text, ",", 1);
            lua_rawgeti(state, index, element + 1);
            encode(state, encoder, lua_gettop(state), depth);
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
            encode_number(state, encoder, lua_tonumber(state, -2));
            headrace_text_add(state, text, "\"", 1);
        } else if (lua_type(state, -2) == LUA_TSTRING) {
            encode_string(state, text, lua_gettop(state) - 1);
        } else {
            luaL_error(state, "Cannot serialise %s: table key must be a number or string", luaL_typename(state, -2));
        }
        headrace_text_add(state, text, ":", 1);
        encode(state, encoder, lua_gettop(state), depth);
    }
    headrace_text_add(state, text, "}", 1);
}

// - depth: of the tables around the value.
static void encode(lua_State *state, const encoder *encoder, int index, int depth) {
    headrace_text *text = encoder->text;
    switch (lua_type(state, index)) {
    case LUA_TSTRING: encode_string(state, text, index); return;
    case LUA_TNUMBER: encode_number(state, encoder, lua_tonumber(state, index)); return;
    case LUA_TBOOLEAN:
        if (lua_toboolean(state, index)) headrace_text_add(state, text, "true", 4);
        else headrace_text_add(state, text, "false", 5);
        return;
    case LUA_TTABLE: encode_table(state, encoder, index, depth + 1); return;
    case LUA_TNIL: headrace_text_add(state, text, "null", 4); return;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(state, index) == NULL) {
            headrace_text_add(state, text, "null", 4);
            return;
        }
    }
    luaL_error(state, "Cannot serialise %s: type not supported", luaL_typename(state, index));
}

static int json_encode(lua_State *state) {
    luaL_argcheck(state, lua_gettop(state) == 1, 1, "expected 1 argument");
    encoder encoder = {settings_of(state), headrace_text_push(state)};
    encode(state, &encoder, 1, 0);
    lua_pushlstring(state, encoder.text->bytes ? encoder.text->bytes : "", encoder.text->count);
    return 1;
}

// MARK: Decode

// What the text is cut into.
typedef enum { OBJECT_BEGIN, OBJECT_END, ARRAY_BEGIN, ARRAY_END, STRING, NUMBER, BOOLEAN, NULL_VALUE, COLON, COMMA, END, INVALID } token_type;

// Lua's strings have a zero byte behind them, which ends the text, and nothing here reads beyond one.
typedef struct {
    const headrace_json_settings *settings;
    const char *start;
    const char *next;
    int depth;
    // The token that was read last: what it is, where it begins, and its value. That of a string is `text`.
    token_type type;
    const char *token;
    double number;
    const char *problem;
    headrace_text *text;
} parser;

static int place(const parser *parser) { return (int)(parser->token - parser->start) + 1; }

static void refuse(lua_State *state, const parser *parser, const char *expected) {
    static const char *const names[] = {
        "T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END", "T_STRING", "T_NUMBER", "T_BOOLEAN", "T_NULL", "T_COLON", "T_COMMA", "T_END",
    };
    const char *found = parser->type == INVALID ? parser->problem : names[parser->type];
    luaL_error(state, "Expected %s but found %s at character %d", expected, found, place(parser));
}

static void set_invalid(parser *parser, const char *problem) {
    parser->type = INVALID;
    parser->token = parser->next;
    parser->problem = problem;
}

static int take(parser *parser, const char *word) {
    size_t count = strlen(word);
    if (strncmp(parser->next, word, count) != 0) return 0;
    parser->next += count;
    return 1;
}

// Four hexadecimal digits, -1 for anything else.
static int hex(const char *digits) {
    int value = 0;
    for (int index = 0; index < 4; index++) {
        char byte = digits[index];
        int digit = byte >= '0' && byte <= '9' ? byte - '0' : (byte | 0x20) >= 'a' && (byte | 0x20) <= 'f' ? (byte | 0x20) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
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

// An escape of a code point, or of two that are a pair. Returns 0 when it is none.
static int read_code_point(lua_State *state, parser *parser) {
    const char *escape = parser->next;
    int code = hex(escape + 2);
    if (code < 0 || (code >= 0xDC00 && code < 0xE000)) return 0;
    int count = 6;
    if (code >= 0xD800 && code < 0xDC00) {
        int low = escape[6] == '\\' && escape[7] == 'u' ? hex(escape + 8) : -1;
        if (low < 0xDC00 || low >= 0xE000) return 0;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        count = 12;
    }
    add_code_point(state, parser->text, (unsigned)code);
    parser->next += count;
    return 1;
}

// Behind the opening quote.
static void read_string(lua_State *state, parser *parser) {
    headrace_text *text = parser->text;
    parser->type = STRING;
    text->count = 0;
    while (1) {
        const char *start = parser->next;
        // Redis' cjson takes control characters, too.
        while (*parser->next != '"' && *parser->next != '\\' && *parser->next) parser->next++;
        headrace_text_add(state, text, start, (size_t)(parser->next - start));
        if (!*parser->next) return set_invalid(parser, "unexpected end of string");
        if (*parser->next == '"') break;
        switch (parser->next[1]) {
        case '"': headrace_text_add(state, text, "\"", 1); break;
        case '\\': headrace_text_add(state, text, "\\", 1); break;
        case '/': headrace_text_add(state, text, "/", 1); break;
        case 'b': headrace_text_add(state, text, "\b", 1); break;
        case 'f': headrace_text_add(state, text, "\f", 1); break;
        case 'n': headrace_text_add(state, text, "\n", 1); break;
        case 'r': headrace_text_add(state, text, "\r", 1); break;
        case 't': headrace_text_add(state, text, "\t", 1); break;
        case 'u':
            if (!read_code_point(state, parser)) return set_invalid(parser, "invalid unicode escape code");
            continue;
        default: return set_invalid(parser, "invalid escape code");
        }
        parser->next += 2;
    }
    parser->next++;
}

// What strtod(3) reads and JSON does not: NaN, the infinities, a plus, hexadecimal digits and leading zeros.
static int is_invalid_number(const char *text) {
    if (*text == '+') return 1;
    if (*text == '-') text++;
    if (*text == '0') return (text[1] | 0x20) == 'x' || (text[1] >= '0' && text[1] <= '9');
    return strncasecmp(text, "inf", 3) == 0 || strncasecmp(text, "nan", 3) == 0;
}

static void read_number(parser *parser) {
    char *end;
    parser->type = NUMBER;
    parser->number = strtod(parser->next, &end);
    if (end == parser->next) return set_invalid(parser, "invalid number");
    parser->next = end;
}

static void read_token(lua_State *state, parser *parser) {
    while (*parser->next == ' ' || *parser->next == '\t' || *parser->next == '\n' || *parser->next == '\r') parser->next++;
    parser->token = parser->next;
    switch (*parser->next) {
    case 0: parser->type = END; return;
    case '{': parser->type = OBJECT_BEGIN; break;
    case '}': parser->type = OBJECT_END; break;
    case '[': parser->type = ARRAY_BEGIN; break;
    case ']': parser->type = ARRAY_END; break;
    case ':': parser->type = COLON; break;
    case ',': parser->type = COMMA; break;
    case '"':
        parser->next++;
        return read_string(state, parser);
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        if (!parser->settings->decode_invalid && is_invalid_number(parser->next)) return set_invalid(parser, "invalid number");
        return read_number(parser);
    default:
        parser->number = *parser->next == 't';
        if (take(parser, "true") || take(parser, "false")) parser->type = BOOLEAN;
        else if (take(parser, "null")) parser->type = NULL_VALUE;
        else if (parser->settings->decode_invalid && is_invalid_number(parser->next)) read_number(parser);
        else set_invalid(parser, "invalid token");
        return;
    }
    parser->next++;
}

static void decode(lua_State *state, parser *parser);

// Behind the bracket of an object or an array.
static void descend(lua_State *state, parser *parser) {
    parser->depth++;
    if (parser->depth > parser->settings->decode_depth_max || parser->depth > HEADRACE_NESTING_MAX || !lua_checkstack(state, 4))
        luaL_error(state, "Found too many nested data structures (%d) at character %d", parser->depth, place(parser));
    lua_newtable(state);
    read_token(state, parser);
}

static void decode_object(lua_State *state, parser *parser) {
    descend(state, parser);
    while (parser->type != OBJECT_END) {
        if (parser->type != STRING) refuse(state, parser, "object key string");
        lua_pushlstring(state, parser->text->bytes ? parser->text->bytes : "", parser->text->count);
        read_token(state, parser);
        if (parser->type != COLON) refuse(state, parser, "colon");
        read_token(state, parser);
        decode(state, parser);
        lua_rawset(state, -3);
        read_token(state, parser);
        if (parser->type == OBJECT_END) break;
        if (parser->type != COMMA) refuse(state, parser, "comma or object end");
        read_token(state, parser);
        if (parser->type == OBJECT_END) refuse(state, parser, "object key string");
    }
    parser->depth--;
}

static void decode_array(lua_State *state, parser *parser) {
    descend(state, parser);
    for (int index = 1; parser->type != ARRAY_END; index++) {
        decode(state, parser);
        lua_rawseti(state, -2, index);
        read_token(state, parser);
        if (parser->type == ARRAY_END) break;
        if (parser->type != COMMA) refuse(state, parser, "comma or array end");
        read_token(state, parser);
        if (parser->type == ARRAY_END) refuse(state, parser, "value");
    }
    parser->depth--;
}

// Pushes the value that begins with the token.
static void decode(lua_State *state, parser *parser) {
    switch (parser->type) {
    case OBJECT_BEGIN: decode_object(state, parser); return;
    case ARRAY_BEGIN: decode_array(state, parser); return;
    case STRING: lua_pushlstring(state, parser->text->bytes ? parser->text->bytes : "", parser->text->count); return;
    case NUMBER: lua_pushnumber(state, parser->number); return;
    case BOOLEAN: lua_pushboolean(state, parser->number != 0); return;
    case NULL_VALUE: lua_pushlightuserdata(state, NULL); return;
    default: refuse(state, parser, "value");
    }
}

static int json_decode(lua_State *state) {
    luaL_argcheck(state, lua_gettop(state) == 1, 1, "expected 1 argument");
    size_t count;
    const char *bytes = luaL_checklstring(state, 1, &count);
    if (count >= 2 && (!bytes[0] || !bytes[1])) return luaL_error(state, "JSON parser does not support UTF-16 or UTF-32");
    parser parser = {.settings = settings_of(state), .start = bytes, .next = bytes, .text = headrace_text_push(state)};
    read_token(state, &parser);
    decode(state, &parser);
    read_token(state, &parser);
    if (parser.type != END) refuse(state, &parser, "the end");
    return 1;
}

// MARK: The table

static int json_new(lua_State *state);

// Replaces what is on top of the stack, a pointer to settings, by the table of functions that go by them.
static void push_functions(lua_State *state) {
    static const luaL_Reg functions[] = {
        {"encode", json_encode}, {"decode", json_decode}, {"new", json_new}, {"encode_sparse_array", json_encode_sparse_array},
        {"encode_max_depth", json_encode_max_depth}, {"decode_max_depth", json_decode_max_depth},
        {"encode_number_precision", json_encode_number_precision}, {"encode_keep_buffer", json_encode_keep_buffer},
        {"encode_invalid_numbers", json_encode_invalid_numbers}, {"decode_invalid_numbers", json_decode_invalid_numbers},
    };
    lua_newtable(state);
    for (size_t index = 0; index < sizeof functions / sizeof *functions; index++) {
        lua_pushvalue(state, -2);
        lua_pushcclosure(state, functions[index].func, 1);
        lua_setfield(state, -2, functions[index].name);
    }
    lua_pushlightuserdata(state, NULL);
    lua_setfield(state, -2, "null");
    lua_pushliteral(state, "cjson");
    lua_setfield(state, -2, "_NAME");
    lua_pushliteral(state, "2.1.0");
    lua_setfield(state, -2, "_VERSION");
    lua_remove(state, -2);
}

// With settings of its own.
static int json_new(lua_State *state) {
    headrace_json_restore(lua_newuserdata(state, sizeof(headrace_json_settings)));
    push_functions(state);
    return 1;
}

void headrace_open_json(lua_State *state, headrace_json_settings *settings) {
    lua_pushlightuserdata(state, settings);
    push_functions(state);
}
