/** How long is waited between two looks at what the kernel is doing: two seconds in all. What takes longer waits for something that only others can end. */
export const PAUSES_MS: readonly number[] = [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 500, 500, 500];
