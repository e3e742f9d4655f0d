/* Bound to itself (-Bsymbolic) and at once (-z now): interposition does not reach in. */
int symbolic_sum(int n);
int symbolic_step(int n);

__attribute__((noinline)) int symbolic_step(int n)
{
	volatile int x = n;

	return x + 1;
}

int symbolic_sum(int n)
{
	int sum = 0;

	for (int i = 0; i < n; i++)
		sum += symbolic_step(i) - i;
	return sum;
}
