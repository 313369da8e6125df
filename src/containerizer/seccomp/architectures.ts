/** What a profile calls an architecture, in Go's words, and what libseccomp and the runtime-spec call it. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  amd64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
  loong64: 'SCMP_ARCH_LOONGARCH64',
  ppc64le: 'SCMP_ARCH_PPC64LE',
  riscv64: 'SCMP_ARCH_RISCV64',
  s390x: 'SCMP_ARCH_S390X',
};

/** Others that profiles name: those whose programs run on another machine, and those that this program does not run on. */
const OTHERS =
  '386 x86 x32 arm mips mipsle mipsel mips64 mips64le mipsel64 mips64n32 mipsel64n32 mips64p32 mips64p32le parisc parisc64 ppc ppc64 s390 loongarch64';

const KNOWN = new Set([...Object.keys(ARCHITECTURES), ...OTHERS.split(' ')]);

/** In Go's words, by Node's. */
const OF_NODE: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

/** Whether profiles may name it in a condition. */
export function isArchitecture(name: string): boolean {
  return KNOWN.has(name);
}

/** @param name in Go's words @returns such as `SCMP_ARCH_X86_64` */
export function seccompArchitecture(name: string): string | undefined {
  return ARCHITECTURES[name];
}

/** In Go's words. @param name in Node's, as `process.arch` */
export function architectureOf(name: string): string {
  return OF_NODE[name] ?? name;
}
