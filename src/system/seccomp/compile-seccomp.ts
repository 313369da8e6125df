import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { descriptorShortage, firstLine, noDescriptors } from '../../base/errors.js';
import { loadNative } from '../native-loading.js';
import type { OciSeccomp } from './oci-seccomp.js';

const require = createRequire(import.meta.url);

type Compile = (filter: OciSeccomp) => Promise<Buffer>;

let loaded: Compile | null | undefined;
let reason: string | undefined;

/** By the hash of what they were made of, the one that was used last at the end. */
const programs = new Map<string, Promise<Buffer>>();
/** There is one for each set of capabilities that containers have. Each takes some 10 KB. */
const MOST_PROGRAMS = 64;

/**
 * Makes the program that the kernel runs at each system call of a filter, as runtimes make it with libseccomp: names that the library does not know are passed over.
 * It takes 10 to 25 ms, for the most part on another thread, and nothing when it has been made before.
 * @returns classic BPF, in the byte order of this machine; undefined where there is no libseccomp
 * @throws Error with `code`, `syscall` (the call of libseccomp) and `path` (what it was about): `EINVAL` for what it refuses; `E2BIG`; shortages
 * @throws ProvisionerError `ERR_NO_DESCRIPTORS`
 */
export async function compileSeccomp(filter: OciSeccomp): Promise<Buffer | undefined> {
  const compile = loadCompiler();
  if (compile === null) return undefined;
  const key = createHash('sha256').update(JSON.stringify(filter)).digest('base64');
  let program = programs.get(key);
  programs.delete(key);
  program ??= compile(filter);
  programs.set(key, program);
  for (const oldest of programs.keys()) {
    if (programs.size <= MOST_PROGRAMS) break;
    programs.delete(oldest);
  }
  try {
    return await program;
  } catch (error) {
    if (programs.get(key) === program) programs.delete(key);
    throw error;
  }
}

/** Why `compileSeccomp` makes nothing; undefined when it does. */
export function seccompCompilerMissingReason(): string | undefined {
  loadCompiler();
  return reason;
}

function loadCompiler(): Compile | null {
  if (loaded === undefined) {
    try {
      loaded = loadNative(() => {
        const { compileNatively } = require('./native-compiler.js') as typeof import('./native-compiler.js');
        return compileNatively;
      });
    } catch (error) {
      const shortage = descriptorShortage(error);
      if (shortage !== undefined) throw noDescriptors('load libseccomp', shortage, error);
      reason = firstLine(error);
      loaded = null;
    }
  }
  return loaded;
}
