/* A 32-bit program without any library: writes a line, exits with 7. */
	.section .note.GNU-stack, "", @progbits
	.text
	.globl _start
_start:
	movl $4, %eax
	movl $1, %ebx
	movl $text, %ecx
	movl $9, %edx
	int $0x80
	movl $1, %eax
	movl $7, %ebx
	int $0x80
text:
	.ascii "hello 32\n"
