// struct: numbers and strings as bytes, by a format.
//
// `<` `>` `=` order of bytes (little, big, ours), `!n` alignment, `x` a zero byte, `b B` char, `h H` short, `i In` int or n bytes, `l L` long,
// `T` size, `f` `d` floats, `cn` n bytes (`c0`: as many as the string has, or as the number before says), `s` up to a zero byte.
// Source: R. Ierusalimschy, "struct", the description of its format string.
#include "internal.h"
#include <ctype.h>
#include <string.h>

typedef struct {
    const char *next;
    int is_little;
    size_t align_max;
} format;

static int native_is_little(void) {
    const uint16_t one = 1;
    return *(const unsigned char *)&one == 1;
}

static size_t read_count(lua_State *state, format *format, size_t missing) {
    if (!isdigit((unsigned char)*format->next)) return missing;
    size_t count = 0;
    while (isdigit((unsigned char)*format->next)) {
        count = count * 10 + (size_t)(*format->next++ - '0');
        if (count > 1 << 30) luaL_error(state, "integral size overflow");
    }
    return count;
}

// How many bytes an element takes; for `c` what the format says, for `s` 0.
static size_t element_size(lua_State *state, char option, format *format) {
    switch (option) {
    case 'b': case 'B': case 'x': return 1;
    case 'h': case 'H': return 2;
    case 'l': case 'L': case 'T': return 8;
    case 'f': return 4;
    case 'd': return 8;
    case 'c': return read_count(state, format, 1);
    case 'i': case 'I': {
        size_t count = read_count(state, format, 4);
        if (count < 1 || count > 8) luaL_error(state, "integral size %d is larger than limit of 8", (int)count);
        return count;
    }
    default: return 0;
    }
}

static size_t padding(size_t offset, size_t size, char option, const format *format) {
    if (size == 0 || option == 'c' || option == 'x') return 0;
    size_t align = size < format->align_max ? size : format->align_max;
    // A size that is no power of two is aligned as the next smaller one.
    while (align & (align - 1)) align &= align - 1;
    return align > 1 ? (align - (offset & (align - 1))) & (align - 1) : 0;
}

// Returns 1 if it was about order or alignment.
static int read_control(lua_State *state, char option, format *format) {
    switch (option) {
    case ' ': return 1;
    case '<': format->is_little = 1; return 1;
    case '>': format->is_little = 0; return 1;
    case '=': format->is_little = native_is_little(); return 1;
    case '!': {
        size_t align = read_count(state, format, 8);
        if (align == 0 || (align & (align - 1)) || align > 64) luaL_error(state, "alignment is not a power of 2");
        format->align_max = align;
        return 1;
    }
    default: return 0;
    }
}

static void order(unsigned char *bytes, size_t count, int is_little) {
    if (is_little == native_is_little()) return;
    for (size_t index = 0; index < count / 2; index++) {
        unsigned char byte = bytes[index];
        bytes[index] = bytes[count - 1 - index];
        bytes[count - 1 - index] = byte;
    }
}

static uint64_t to_integer(double number) {
    if (number != number) return 0;
    if (number < 0) return number <= -9223372036854775808.0 ? (uint64_t)INT64_MIN : (uint64_t)(int64_t)number;
    return number >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)number;
}

static int struct_pack(lua_State *state) {
    format format = {luaL_checkstring(state, 1), native_is_little(), 1};
    int argument = 2;
    headrace_text *text = headrace_text_push(state);
    while (*format.next) {
        char option = *format.next++;
        if (read_control(state, option, &format)) continue;
        size_t size = element_size(state, option, &format);
        static const char zeros[64] = {0};
        headrace_text_add(state, text, zeros, padding(text->count, size, option, &format));
        switch (option) {
        case 'b': case 'B': case 'h': case 'H': case 'l': case 'L': case 'T': case 'i': case 'I': {
            uint64_t value = to_integer(luaL_checknumber(state, argument++));
            unsigned char bytes[8];
            for (size_t index = 0; index < size; index++) bytes[format.is_little ? index : size - 1 - index] = (unsigned char)(value >> (8 * index));
            headrace_text_add(state, text, bytes, size);
            break;
        }
        case 'f': {
            float value = (float)luaL_checknumber(state, argument++);
            order((unsigned char *)&value, sizeof value, format.is_little);
            headrace_text_add(state, text, &value, sizeof value);
            break;
        }
        case 'd': {
            double value = luaL_checknumber(state, argument++);
            order((unsigned char *)&value, sizeof value, format.is_little);
            headrace_text_add(state, text, &value, sizeof value);
            break;
        }
        case 'c': case 's': {
            size_t count;
            const char *bytes = luaL_checklstring(state, argument++, &count);
            if (option == 'c' && size > 0) {
                luaL_argcheck(state, count >= size, argument - 1, "string too short");
                count = size;
            }
            headrace_text_add(state, text, bytes, count);
            if (option == 's') headrace_text_add(state, text, zeros, 1);
            break;
        }
        case 'x': headrace_text_add(state, text, zeros, 1); break;
        default: luaL_error(state, "invalid format option '%c'", option);
        }
    }
    lua_pushlstring(state, text->bytes ? text->bytes : "", text->count);
    return 1;
}

static int struct_unpack(lua_State *state) {
    format format = {luaL_checkstring(state, 1), native_is_little(), 1};
    size_t count;
    const char *bytes = luaL_checklstring(state, 2, &count);
    double start = luaL_optnumber(state, 3, 1);
    luaL_argcheck(state, start >= 1 && start <= (double)count + 1, 3, "offset must be 1 or greater, and within the string");
    size_t offset = (size_t)start - 1;
    int result_count = 0;
    lua_settop(state, 2);
    while (*format.next) {
        char option = *format.next++;
        if (read_control(state, option, &format)) continue;
        size_t size = element_size(state, option, &format);
        size_t gap = padding(offset, size, option, &format);
        luaL_argcheck(state, gap <= count - offset && size <= count - offset - gap, 2, "data string too short");
        offset += gap;
        luaL_checkstack(state, 2, "too many results");
        switch (option) {
        case 'b': case 'B': case 'h': case 'H': case 'l': case 'L': case 'T': case 'i': case 'I': {
            uint64_t value = 0;
            for (size_t index = 0; index < size; index++)
                value |= (uint64_t)(unsigned char)bytes[offset + (format.is_little ? index : size - 1 - index)] << (8 * index);
            int is_signed = option == 'b' || option == 'h' || option == 'l' || option == 'i';
            if (is_signed && size < 8 && value >> (8 * size - 1)) value |= ~(uint64_t)0 << (8 * size);
            lua_pushnumber(state, is_signed ? (lua_Number)(int64_t)value : (lua_Number)value);
            result_count++;
            break;
        }
        case 'f': {
            float value;
            memcpy(&value, bytes + offset, sizeof value);
            order((unsigned char *)&value, sizeof value, format.is_little);
            lua_pushnumber(state, value);
            result_count++;
            break;
        }
        case 'd': {
            double value;
            memcpy(&value, bytes + offset, sizeof value);
            order((unsigned char *)&value, sizeof value, format.is_little);
            lua_pushnumber(state, value);
            result_count++;
            break;
        }
        case 'c':
            if (size == 0) {
                if (result_count == 0 || !lua_isnumber(state, -1)) luaL_error(state, "format 'c0' needs a previous size");
                double said = lua_tonumber(state, -1);
                luaL_argcheck(state, said >= 0 && said <= (double)(count - offset), 2, "data string too short");
                size = (size_t)said;
                lua_pop(state, 1);
                result_count--;
            }
            lua_pushlstring(state, bytes + offset, size);
            result_count++;
            break;
        case 's': {
            const char *end = count > offset ? memchr(bytes + offset, 0, count - offset) : NULL;
            if (!end) luaL_error(state, "unfinished string in data");
            size = (size_t)(end - (bytes + offset)) + 1;
            lua_pushlstring(state, bytes + offset, size - 1);
            result_count++;
            break;
        }
        case 'x': break;
        default: luaL_error(state, "invalid format option '%c'", option);
        }
        offset += size;
    }
    lua_pushnumber(state, (lua_Number)(offset + 1));
    return result_count + 1;
}

static int struct_size(lua_State *state) {
    format format = {luaL_checkstring(state, 1), native_is_little(), 1};
    size_t total = 0;
    while (*format.next) {
        char option = *format.next++;
        if (read_control(state, option, &format)) continue;
        size_t size = element_size(state, option, &format);
        if (option == 's') luaL_argerror(state, 1, "variable-size format in format string");
        if (option == 'c' && size == 0) luaL_argerror(state, 1, "variable-length format");
        if (!strchr("bBhHlLTiIfdcx", option)) luaL_error(state, "invalid format option '%c'", option);
        total += padding(total, size, option, &format) + size;
        if (total > (size_t)1 << 40) luaL_argerror(state, 1, "format result too large");
    }
    lua_pushnumber(state, (lua_Number)total);
    return 1;
}

void headrace_open_struct(lua_State *state) {
    static const luaL_Reg functions[] = {{"pack", struct_pack}, {"unpack", struct_unpack}, {"size", struct_size}, {NULL, NULL}};
    lua_newtable(state);
    luaL_register(state, NULL, functions);
}
