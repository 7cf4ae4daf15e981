// What an entry point begins and ends with: the System V ABI has a function keep these registers.

#define ENTER \
	PUSHQ BX  \
	PUSHQ BP  \
	PUSHQ R12 \
	PUSHQ R13 \
	PUSHQ R14 \
	PUSHQ R15

#define LEAVE  \
	VZEROUPPER \
	POPQ R15   \
	POPQ R14   \
	POPQ R13   \
	POPQ R12   \
	POPQ BP    \
	POPQ BX    \
	RET
