/** What the kernel shows a filter of a system call. @see seccomp(2), `struct seccomp_data` */
export interface SyscallData {
  readonly number: number;
  /** @see linux/audit.h */
  readonly architecture: number;
  readonly args: readonly bigint[];
}

/** Of linux/audit.h. */
export const AUDIT_ARCH = { x64: 0xc000003e, ia32: 0x40000003, arm64: 0xc00000b7 } as const;
/** What x32 numbers have in common. */
export const X32 = 0x40000000;

/** Runs a program of classic BPF as the kernel does, as far as filters of system calls need it. @returns the action, with its number of an error @see linux/filter.h, linux/bpf_common.h */
export function runFilter(program: Buffer, { number, architecture, args }: SyscallData): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number >>> 0, 0);
  data.writeUInt32LE(architecture >>> 0, 4);
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(value, 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const code = program.readUInt16LE(8 * at);
    const [whenTrue, whenFalse] = [program.readUInt8(8 * at + 2), program.readUInt8(8 * at + 3)];
    const k = program.readUInt32LE(8 * at + 4);
    const jump = (isTrue: boolean): void => {
      at += isTrue ? whenTrue : whenFalse;
    };
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x05) at += k;
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x25) jump(accumulator > k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else if (code === 0x06) return k;
    else throw new Error(`an instruction that filters do not have: ${code.toString(16)}`);
  }
  throw new Error('the program has no end');
}
