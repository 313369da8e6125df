import { koffi } from '../koffi.js';
// Judges the machine: 64-bit Linux, or it throws.
import '../syscalls/native/libc/libc.js';

const libc = koffi.load(null);

// They return -1 when the descriptor is no terminal. @see termios(3)
export const getAttributes = libc.func('int tcgetattr(int, void *)') as (
  descriptor: number,
  attributes: Uint8Array,
) => number;
export const setAttributes = libc.func('int tcsetattr(int, int, const void *)') as (
  descriptor: number,
  when: number,
  attributes: Uint8Array,
) => number;
/** Of attributes. */
export const setRaw = libc.func('void cfmakeraw(void *)') as (attributes: Uint8Array) => void;
