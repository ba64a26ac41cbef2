// cmsgpack: pack, unpack, unpack_one, unpack_limit.
// Source: the MessagePack specification (github.com/msgpack/msgpack/blob/master/spec.md).
#include "internal.h"
#include <math.h>
#include <string.h>

// MARK: Pack

static void add_number(lua_State *state, headrace_text *text, int type, uint64_t value, int count) {
    unsigned char bytes[9] = {(unsigned char)type};
    for (int index = 0; index < count; index++) bytes[1 + index] = (unsigned char)(value >> (8 * (count - 1 - index)));
    headrace_text_add(state, text, bytes, (size_t)count + 1);
}

// A head with a length: in the type's own bits below `short_max`, else in 1 (if there is such a type), 2 or 4 bytes.
static void add_head(lua_State *state, headrace_text *text, size_t count, int short_type, size_t short_max, int type8, int type16) {
    if (count <= short_max) add_number(state, text, short_type | (int)count, 0, 0);
    else if (type8 && count <= 0xFF) add_number(state, text, type8, count, 1);
    else if (count <= 0xFFFF) add_number(state, text, type16, count, 2);
    else if (count <= 0xFFFFFFFF) add_number(state, text, type16 + 1, count, 4);
    else luaL_error(state, "too long to be packed");
}

static void pack_number(lua_State *state, headrace_text *text, double number) {
    if (number == floor(number) && number >= -9223372036854775808.0 && number < 9223372036854775808.0) {
        int64_t value = (int64_t)number;
        uint64_t raw = (uint64_t)value;
        if (value >= 0) {
            if (value < 0x80) add_number(state, text, (int)value, 0, 0);
            else if (value <= 0xFF) add_number(state, text, 0xCC, raw, 1);
            else if (value <= 0xFFFF) add_number(state, text, 0xCD, raw, 2);
            else if (value <= 0xFFFFFFFF) add_number(state, text, 0xCE, raw, 4);
            else add_number(state, text, 0xCF, raw, 8);
        } else if (value >= -32) add_number(state, text, (int)(raw & 0xFF), 0, 0);
        else if (value >= INT8_MIN) add_number(state, text, 0xD0, raw, 1);
        else if (value >= INT16_MIN) add_number(state, text, 0xD1, raw, 2);
        else if (value >= INT32_MIN) add_number(state, text, 0xD2, raw, 4);
        else add_number(state, text, 0xD3, raw, 8);
        return;
    }
    float single = (float)number;
    if ((double)single == number) {
        uint32_t bits;
        memcpy(&bits, &single, 4);
        add_number(state, text, 0xCA, bits, 4);
    } else {
        uint64_t bits;
        memcpy(&bits, &number, 8);
        add_number(state, text, 0xCB, bits, 8);
    }
}

static void pack_value(lua_State *state, headrace_text *text, int index, int depth);

static void pack_table(lua_State *state, headrace_text *text, int index, int depth) {
    size_t count = 0, array_count = 0;
    double largest = 0;
    for (lua_pushnil(state); lua_next(state, index); lua_pop(state, 1)) {
        count++;
        if (lua_type(state, -2) != LUA_TNUMBER) continue;
        double key = lua_tonumber(state, -2);
        if (key >= 1 && floor(key) == key) {
            array_count++;
            if (key > largest) largest = key;
        }
    }
    // An array has the keys 1 to its length and no others.
    if (count == array_count && largest == (double)count) {
        add_head(state, text, count, 0x90, 15, 0, 0xDC);
        for (size_t element = 1; element <= count; element++) {
            lua_rawgeti(state, index, (int)element);
            pack_value(state, text, lua_gettop(state), depth + 1);
            lua_pop(state, 1);
        }
        return;
    }
    add_head(state, text, count, 0x80, 15, 0, 0xDE);
    for (lua_pushnil(state); lua_next(state, index); lua_pop(state, 1)) {
        pack_value(state, text, lua_gettop(state) - 1, depth + 1);
        pack_value(state, text, lua_gettop(state), depth + 1);
    }
}

static void pack_value(lua_State *state, headrace_text *text, int index, int depth) {
    luaL_checkstack(state, 6, "too many nested tables");
    switch (lua_type(state, index)) {
    case LUA_TSTRING: {
        size_t count;
        const char *bytes = lua_tolstring(state, index, &count);
        add_head(state, text, count, 0xA0, 31, 0xD9, 0xDA);
        headrace_text_add(state, text, bytes, count);
        return;
    }
    case LUA_TNUMBER: pack_number(state, text, lua_tonumber(state, index)); return;
    case LUA_TBOOLEAN: add_number(state, text, lua_toboolean(state, index) ? 0xC3 : 0xC2, 0, 0); return;
    case LUA_TTABLE:
        // Deeper than 16 tables are nil, as in the library that scripts know: one may hold itself.
        if (depth < 16) {
            pack_table(state, text, index, depth);
            return;
        }
    }
    add_number(state, text, 0xC0, 0, 0);
}

static int msgpack_pack(lua_State *state) {
    int count = lua_gettop(state);
    luaL_argcheck(state, count > 0, 0, "MessagePack pack needs input.");
    headrace_text *text = headrace_text_push(state);
    for (int index = 1; index <= count; index++) pack_value(state, text, index, 0);
    lua_pushlstring(state, text->bytes ? text->bytes : "", text->count);
    return 1;
}

// MARK: Unpack

typedef struct {
    const unsigned char *next;
    const unsigned char *end;
} packed;

static const unsigned char *take(lua_State *state, packed *packed, size_t count) {
    if (count > (size_t)(packed->end - packed->next)) luaL_error(state, "Missing bytes in input.");
    const unsigned char *bytes = packed->next;
    packed->next += count;
    return bytes;
}

static uint64_t take_number(lua_State *state, packed *packed, int count) {
    const unsigned char *bytes = take(state, packed, (size_t)count);
    uint64_t value = 0;
    for (int index = 0; index < count; index++) value = value << 8 | bytes[index];
    return value;
}

static void unpack_value(lua_State *state, packed *packed, int depth);

static void unpack_array(lua_State *state, packed *packed, uint64_t count, int depth) {
    // No element is shorter than a byte: what is counted and not there gets no memory, and ends the loop.
    uint64_t most = (uint64_t)(packed->end - packed->next);
    lua_createtable(state, count < 65536 && count <= most ? (int)count : 0, 0);
    for (uint64_t index = 1; index <= count; index++) {
        unpack_value(state, packed, depth + 1);
        lua_rawseti(state, -2, (int)index);
    }
}

static void unpack_map(lua_State *state, packed *packed, uint64_t count, int depth) {
    lua_newtable(state);
    for (uint64_t index = 0; index < count; index++) {
        unpack_value(state, packed, depth + 1);
        unpack_value(state, packed, depth + 1);
        // Raises for nil and NaN, which are no keys.
        lua_rawset(state, -3);
    }
}

static void unpack_string(lua_State *state, packed *packed, uint64_t count) {
    const unsigned char *bytes = take(state, packed, count);
    lua_pushlstring(state, (const char *)bytes, count);
}

static void unpack_value(lua_State *state, packed *packed, int depth) {
    if (depth > HEADRACE_NESTING_MAX) luaL_error(state, "stack overflow (too many nested tables)");
    luaL_checkstack(state, 6, "too many nested tables");
    unsigned char type = *take(state, packed, 1);
    if (type < 0x80) lua_pushnumber(state, type);
    else if (type < 0x90) unpack_map(state, packed, type & 0x0F, depth);
    else if (type < 0xA0) unpack_array(state, packed, type & 0x0F, depth);
    else if (type < 0xC0) unpack_string(state, packed, type & 0x1F);
    else if (type >= 0xE0) lua_pushnumber(state, (int8_t)type);
    else switch (type) {
    case 0xC0: lua_pushnil(state); return;
    case 0xC2: lua_pushboolean(state, 0); return;
    case 0xC3: lua_pushboolean(state, 1); return;
    case 0xC4: case 0xD9: unpack_string(state, packed, take_number(state, packed, 1)); return;
    case 0xC5: case 0xDA: unpack_string(state, packed, take_number(state, packed, 2)); return;
    case 0xC6: case 0xDB: unpack_string(state, packed, take_number(state, packed, 4)); return;
    case 0xCA: {
        uint32_t bits = (uint32_t)take_number(state, packed, 4);
        float value;
        memcpy(&value, &bits, 4);
        lua_pushnumber(state, value);
        return;
    }
    case 0xCB: {
        uint64_t bits = take_number(state, packed, 8);
        double value;
        memcpy(&value, &bits, 8);
        lua_pushnumber(state, value);
        return;
    }
    case 0xCC: case 0xCD: case 0xCE:
        lua_pushnumber(state, (lua_Number)take_number(state, packed, 1 << (type - 0xCC)));
        return;
    case 0xD0: lua_pushnumber(state, (int8_t)take_number(state, packed, 1)); return;
    case 0xD1: lua_pushnumber(state, (int16_t)take_number(state, packed, 2)); return;
    case 0xD2: lua_pushnumber(state, (int32_t)take_number(state, packed, 4)); return;
    // Signed or not: 2^64 - 1 is -1, as in the library that scripts know.
    case 0xCF: case 0xD3: lua_pushnumber(state, (lua_Number)(int64_t)take_number(state, packed, 8)); return;
    case 0xDC: unpack_array(state, packed, take_number(state, packed, 2), depth); return;
    case 0xDD: unpack_array(state, packed, take_number(state, packed, 4), depth); return;
    case 0xDE: unpack_map(state, packed, take_number(state, packed, 2), depth); return;
    case 0xDF: unpack_map(state, packed, take_number(state, packed, 4), depth); return;
    default: luaL_error(state, "Bad data format in input.");
    }
}

// A number of a script without its fraction; the smallest for what 64 bits do not hold.
static int64_t whole(double number) { return number >= -0x1p63 && number < 0x1p63 ? (int64_t)number : INT64_MIN; }

// Up to so many values from an offset on, behind the offset of the rest, which is -1 at the end. With a limit and an offset of 0 all
// of them, and no offset.
static int unpack_some(lua_State *state, int64_t limit, int64_t offset) {
    size_t count;
    const char *bytes = luaL_checklstring(state, 1, &count);
    // Both say how long the input is: so does Redis.
    if (offset < 0 || limit < 0) return luaL_error(state, "Invalid request to unpack with offset of %d and limit of %d.", (int)offset, (int)count);
    if ((uint64_t)offset > count) return luaL_error(state, "Start offset %d greater than input length %d.", (int)offset, (int)count);
    int gives_offset = limit != 0 || offset != 0;
    if (!gives_offset) limit = INT64_MAX;
    packed packed = {(const unsigned char *)bytes + offset, (const unsigned char *)bytes + count};
    lua_settop(state, 1);
    if (gives_offset) lua_pushnil(state);
    int results = 0;
    while (packed.next < packed.end && results < limit) {
        luaL_checkstack(state, 8, "too many return values at once; use unpack_one or unpack_limit instead.");
        unpack_value(state, &packed, 0);
        results++;
    }
    if (!gives_offset) return results;
    lua_pushnumber(state, packed.next == packed.end ? -1 : (lua_Number)(packed.next - (const unsigned char *)bytes));
    lua_replace(state, 2);
    return results + 1;
}

static int msgpack_unpack(lua_State *state) { return unpack_some(state, 0, 0); }
static int msgpack_unpack_one(lua_State *state) { return unpack_some(state, 1, whole(luaL_optnumber(state, 2, 0))); }
static int msgpack_unpack_limit(lua_State *state) {
    int64_t limit = whole(luaL_checknumber(state, 2));
    return unpack_some(state, limit, whole(luaL_optnumber(state, 3, 0)));
}

void headrace_open_msgpack(lua_State *state) {
    static const luaL_Reg functions[] = {
        {"pack", msgpack_pack}, {"unpack", msgpack_unpack}, {"unpack_one", msgpack_unpack_one}, {"unpack_limit", msgpack_unpack_limit},
        {NULL, NULL},
    };
    lua_newtable(state);
    luaL_register(state, NULL, functions);
    lua_pushliteral(state, "cmsgpack");
    lua_setfield(state, -2, "_NAME");
    lua_pushliteral(state, "lua-cmsgpack 0.4.0");
    lua_setfield(state, -2, "_VERSION");
}
