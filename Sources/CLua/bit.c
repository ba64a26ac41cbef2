// bit: operations on 32 bits.
// Source: Lua BitOp's documentation: results are signed, shift counts are taken modulo 32.
#include "internal.h"
#include <math.h>

static uint32_t bits(lua_State *state, int index) {
    double number = luaL_checknumber(state, index);
    // Modulo 2^32; what is no number at all becomes 0.
    if (!isfinite(number)) return 0;
    double whole = fmod(nearbyint(number), 4294967296.0);
    return (uint32_t)(int64_t)whole;
}

static int give(lua_State *state, uint32_t value) {
    lua_pushnumber(state, (lua_Number)(int32_t)value);
    return 1;
}

static int bit_tobit(lua_State *state) { return give(state, bits(state, 1)); }
static int bit_bnot(lua_State *state) { return give(state, ~bits(state, 1)); }

static int bit_band(lua_State *state) {
    uint32_t value = bits(state, 1);
    for (int index = lua_gettop(state); index > 1; index--) value &= bits(state, index);
    return give(state, value);
}
static int bit_bor(lua_State *state) {
    uint32_t value = bits(state, 1);
    for (int index = lua_gettop(state); index > 1; index--) value |= bits(state, index);
    return give(state, value);
}
static int bit_bxor(lua_State *state) {
    uint32_t value = bits(state, 1);
    for (int index = lua_gettop(state); index > 1; index--) value ^= bits(state, index);
    return give(state, value);
}

static int bit_lshift(lua_State *state) { return give(state, bits(state, 1) << (bits(state, 2) & 31)); }
static int bit_rshift(lua_State *state) { return give(state, bits(state, 1) >> (bits(state, 2) & 31)); }
static int bit_arshift(lua_State *state) {
    uint32_t value = bits(state, 1), count = bits(state, 2) & 31;
    uint32_t sign = value >> 31 && count ? ~(uint32_t)0 << (32 - count) : 0;
    return give(state, value >> count | sign);
}
static int bit_rol(lua_State *state) {
    uint32_t value = bits(state, 1), count = bits(state, 2) & 31;
    return give(state, count ? value << count | value >> (32 - count) : value);
}
static int bit_ror(lua_State *state) {
    uint32_t value = bits(state, 1), count = bits(state, 2) & 31;
    return give(state, count ? value >> count | value << (32 - count) : value);
}
static int bit_bswap(lua_State *state) {
    uint32_t value = bits(state, 1);
    return give(state, value >> 24 | (value >> 8 & 0xFF00) | (value << 8 & 0xFF0000) | value << 24);
}

static int bit_tohex(lua_State *state) {
    uint32_t value = bits(state, 1);
    int32_t count = lua_isnoneornil(state, 2) ? 8 : (int32_t)bits(state, 2);
    const char *digits = "0123456789abcdef";
    if (count < 0) digits = "0123456789ABCDEF", count = count == INT32_MIN ? 8 : -count;
    if (count > 8) count = 8;
    char text[8];
    for (int index = count; --index >= 0; value >>= 4) text[index] = digits[value & 15];
    lua_pushlstring(state, text, (size_t)count);
    return 1;
}

void headrace_open_bit(lua_State *state) {
    static const luaL_Reg functions[] = {
        {"tobit", bit_tobit}, {"bnot", bit_bnot}, {"band", bit_band}, {"bor", bit_bor}, {"bxor", bit_bxor}, {"lshift", bit_lshift},
        {"rshift", bit_rshift}, {"arshift", bit_arshift}, {"rol", bit_rol}, {"ror", bit_ror}, {"bswap", bit_bswap}, {"tohex", bit_tohex},
        {NULL, NULL},
    };
    lua_newtable(state);
    luaL_register(state, NULL, functions);
}
