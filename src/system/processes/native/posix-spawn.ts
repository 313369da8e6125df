import { constants } from 'node:fs';
import { koffi } from '../../koffi.js';
import { numberedError } from '../../syscalls/native/libc/libc.js';
import type { WholeRequest } from '../spawn-request.js';
import * as libc from './libc-processes.js';

/** @see posix_spawn(3); the numbers are those of glibc and of musl */
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
/** More than either library's `posix_spawnattr_t` (336 bytes) and `posix_spawn_file_actions_t` (80) have. */
const STRUCTURE_BYTES = 1024;
/** `sigset_t`. */
const SIGNALS_BYTES = 128;

const NO_SIGNALS = new Uint8Array(SIGNALS_BYTES);
/** Bit for bit, since `sigfillset` leaves out two that glibc has for itself; it would have them ignored in the program. */
const ALL_SIGNALS = new Uint8Array(SIGNALS_BYTES).fill(0xff);

/** What has been given away by its address alone must not be collected meanwhile, and nothing else may have it. */
const held = new Set<TextList>();

/** @returns the pid @throws the error of the call, of whatever it is */
export function posixSpawn(request: WholeRequest): number {
  const attributes = new Uint8Array(STRUCTURE_BYTES);
  const actions = new Uint8Array(STRUCTURE_BYTES);
  accept(libc.attributesInit(attributes));
  try {
    accept(libc.setSignalMask(attributes, NO_SIGNALS));
    accept(libc.setSignalDefaults(attributes, ALL_SIGNALS));
    const session = request.newSession ? POSIX_SPAWN_SETSID : 0;
    accept(libc.setFlags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | session));
    accept(libc.actionsInit(actions));
    try {
      arrangeDescriptors(actions, request.descriptors);
      if (request.directory !== undefined) accept(libc.addChdir(actions, request.directory));
      const pid = new Int32Array(1);
      const texts = textList(request.texts);
      const variables = textList(request.variables);
      held.add(texts).add(variables);
      accept(libc.posixSpawn(pid, request.program, actions, attributes, texts.addresses, variables.addresses));
      return pid[0] as number;
    } finally {
      held.clear();
      libc.actionsDestroy(actions);
    }
  } finally {
    libc.attributesDestroy(attributes);
  }
}

/**
 * What is done in the new process, one after the other. A number may be wanted for one descriptor and be that of another, so those are first put aside, where neither
 * the one nor the other is.
 */
function arrangeDescriptors(actions: Uint8Array, descriptors: readonly (number | 'null')[]): void {
  const wanted = descriptors.length;
  const sources = new Set(descriptors);
  const aside = new Map<number, number>();
  let free = wanted;
  for (const source of sources) {
    if (source === 'null' || source >= wanted) continue;
    while (sources.has(free)) free++;
    accept(libc.addDup2(actions, source, free));
    aside.set(source, free++);
  }
  for (const [target, source] of descriptors.entries()) {
    if (source === 'null') accept(libc.addOpen(actions, target, '/dev/null', constants.O_RDWR, 0));
    else accept(libc.addDup2(actions, aside.get(source) ?? source, target));
  }
  accept(libc.addCloseFrom(actions, wanted));
}

interface TextList {
  /** Ends with none, as `argv` does. */
  readonly addresses: BigUint64Array;
  /** To be kept as long as somebody has its addresses. */
  readonly bytes: Buffer;
}

function textList(texts: readonly string[]): TextList {
  const lengths = texts.map((text) => Buffer.byteLength(text) + 1);
  const bytes = Buffer.alloc(
    Math.max(
      1,
      lengths.reduce((sum, length) => sum + length, 0),
    ),
  );
  const addresses = new BigUint64Array(texts.length + 1);
  const first = BigInt(koffi.address(bytes));
  let at = 0;
  for (const [index, text] of texts.entries()) {
    addresses[index] = first + BigInt(at);
    bytes.write(text, at);
    at += lengths[index] as number;
  }
  return { addresses, bytes };
}

/** @param number of an error; 0 is none */
function accept(number: number): void {
  if (number !== 0) throw numberedError(number, 'posix_spawn');
}
