// The system's password hashing, for the formats of crypt(5): bcrypt, SHA-crypt, yescrypt and the old ones.
#ifndef HEADRACE_PASSWORDS_H
#define HEADRACE_PASSWORDS_H

#include <crypt.h>

#endif
