import { closeSync, fstatSync, readSync } from 'node:fs';
import { constants } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { makeMemoryFile } from '../processes/native/memory-file.js';
import { aside } from '../syscalls/native/aside.js';
import { numberedError } from '../syscalls/native/libc/libc.js';
import * as libseccomp from './libseccomp.js';
import {
  hasErrno,
  type OciArgumentRule,
  type OciSeccomp,
  type OciSyscallRule,
  SECCOMP_ACTIONS,
  SECCOMP_OPERATORS,
  type SeccompAction,
} from './oci-seccomp.js';

const { EPERM, EEXIST, EINVAL, E2BIG, ENOMEM } = constants.errno;
const UNKNOWN_SYSCALL = -1;
/** `struct sock_filter`, and as many as the kernel takes. @see linux/filter.h, linux/bpf_common.h */
const INSTRUCTION_BYTES = 8;
const MOST_INSTRUCTIONS = 4096;
const COMPARISON_BYTES = 24;
/** Rules are added so long before others get a turn, in milliseconds: all of a profile take some 5, and a launch is to stop nobody for 2. */
const SLICE = 1;
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Rule by rule as crun and runc do it, so that the same comes of it. @throws as `compileSeccomp` */
export async function compileNatively(filter: OciSeccomp): Promise<Buffer> {
  const defaultAction = actionNumber(filter.defaultAction, filter.defaultErrnoRet);
  const context = libseccomp.init(defaultAction);
  if (context === null) throw numberedError(ENOMEM, 'seccomp_init');
  try {
    for (const name of filter.architectures ?? []) addArchitecture(context, name);
    let sliceEnds = performance.now() + SLICE;
    for (const [rule, name] of callsOf(filter)) {
      if (performance.now() >= sliceEnds) {
        await setImmediate();
        sliceEnds = performance.now() + SLICE;
      }
      const action = actionNumber(rule.action, rule.errnoRet);
      if (action !== defaultAction) addRules(context, action, name, rule.args ?? []);
    }
    return await exported(context);
  } finally {
    libseccomp.release(context);
  }
}

function* callsOf({ syscalls = [] }: OciSeccomp): Generator<[rule: OciSyscallRule, name: string]> {
  for (const rule of syscalls) for (const name of rule.names) yield [rule, name];
}

function actionNumber(action: SeccompAction, errno = EPERM): number {
  return SECCOMP_ACTIONS[action] + (hasErrno(action) ? errno : 0);
}

function addArchitecture(context: libseccomp.FilterContext, name: string): void {
  const architecture = libseccomp.resolveArchitecture(name.replace(/^SCMP_ARCH_/, '').toLowerCase());
  if (architecture === 0) throw numberedError(EINVAL, 'seccomp_arch_resolve_name', name);
  const result = libseccomp.addArchitecture(context, architecture);
  // That of this machine is there from the beginning.
  if (result < 0 && result !== -EEXIST) throw numberedError(-result, 'seccomp_arch_add', name);
}

function addRules(
  context: libseccomp.FilterContext,
  action: number,
  name: string,
  rules: readonly OciArgumentRule[],
): void {
  const syscall = libseccomp.resolveSyscall(name);
  if (syscall === UNKNOWN_SYSCALL) return;
  const indexes = new Set(rules.map(({ index }) => index));
  // Of several about one argument the library would want all to hold; runtimes take them for several rules.
  const alternatives = indexes.size === rules.length ? [rules] : rules.map((rule) => [rule]);
  for (const together of alternatives) {
    const result = libseccomp.addRule(context, action, syscall, together.length, comparisons(together));
    if (result < 0) throw numberedError(-result, 'seccomp_rule_add_array', name);
  }
}

function comparisons(rules: readonly OciArgumentRule[]): Uint8Array | null {
  if (rules.length === 0) return null;
  const bytes = new Uint8Array(rules.length * COMPARISON_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [number, { index, op, value, valueTwo = 0 }] of rules.entries()) {
    const at = number * COMPARISON_BYTES;
    view.setUint32(at, index, LITTLE_ENDIAN);
    view.setUint32(at + 4, SECCOMP_OPERATORS[op], LITTLE_ENDIAN);
    view.setBigUint64(at + 8, BigInt(value), LITTLE_ENDIAN);
    view.setBigUint64(at + 16, BigInt(valueTwo), LITTLE_ENDIAN);
  }
  return bytes;
}

async function exported(context: libseccomp.FilterContext): Promise<Buffer> {
  const file = makeMemoryFile('seccomp');
  try {
    const result = await aside(() => libseccomp.exportBpf(context, file));
    if (result < 0) throw numberedError(-result, 'seccomp_export_bpf');
    const program = Buffer.alloc(fstatSync(file).size);
    readSync(file, program, 0, program.length, 0);
    if (program.length > MOST_INSTRUCTIONS * INSTRUCTION_BYTES) throw numberedError(E2BIG, 'seccomp_export_bpf');
    return program;
  } finally {
    closeSync(file);
  }
}
