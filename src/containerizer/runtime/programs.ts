import { createHash } from 'node:crypto';
import { closeSync, existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { ProvisionerError } from '../../base/errors.js';
import { ensureOwnDirectory, writeOwnFile } from '../../base/own-files.js';
import type { Processes } from '../../system/processes/processes.js';
import { MONITOR_PROGRAM } from '../monitor/monitor-program.js';
import { monitorRunsHere } from '../monitor/monitor-settings.js';
import { Starter } from '../monitor/starter.js';
import { ENTER_PROGRAM } from './enter-program.js';
import { findSystemProgram } from './find-runtime.js';
import type { OciRuntime } from './oci-runtime.js';
import { holdOwnPlace } from './own-place.js';

/** What is started, as it lies on this machine. */
export interface Programs {
  /** Of what is launched here. */
  readonly runtime: OciRuntime;
  /** Where they lie, and other things of this boot; absolute. */
  readonly directory: string;
  /** Starts what is ours. */
  readonly starter: Starter;
  /** A copy of a runtime in memory, which need not copy itself each time it starts: its descriptor; undefined where there is none of that one. */
  sealedCopyOf(runtime: OciRuntime): number | undefined;
  /** Safe to repeat. */
  close(): void;
}

/**
 * Writes the small programs of ours to where programs of this boot lie, under names that tell their content: other processes may be running those of another release.
 * @param directory not on the store's disk @param procs as of `ownProcsFile` @throws ProvisionerError `ERR_RUNTIME_MISSING`, `ERR_PERMISSION`; like Node's `fs`
 */
export function makePrograms(
  directory: string,
  runtime: OciRuntime,
  processes: Processes,
  procs: string | undefined,
): Programs {
  const perl = findPerl();
  ensureOwnDirectory(directory);
  // What lies there is run by root, and filters are read from it.
  holdOwnPlace(directory).close();
  const starter = new Starter(processes, {
    perl,
    monitor: place(directory, 'monitor', MONITOR_PROGRAM),
    enter: place(directory, 'enter', ENTER_PROGRAM),
    procs,
  });
  let sealed = processes.sealedCopy(runtime.program);
  return {
    runtime,
    directory,
    starter,
    sealedCopyOf: ({ program }) => (program === runtime.program ? sealed : undefined),
    close() {
      starter.close();
      // Once: another file may have got the number since.
      if (sealed !== undefined) closeSync(sealed);
      sealed = undefined;
    },
  };
}

function findPerl(): string {
  const perl = findSystemProgram('perl');
  if (perl !== undefined && monitorRunsHere()) return perl;
  throw new ProvisionerError(
    'ERR_RUNTIME_MISSING',
    perl === undefined
      ? 'Perl is not installed here, which the monitors of containers are run by'
      : `no monitor runs on ${process.arch}`,
    {
      hint: perl === undefined ? 'install it: `apt-get install perl-base`' : 'use a machine of x64, arm64 or riscv64',
    },
  );
}

/** They find mistakes while a program is written and tried; to load them takes a third of the time in which it begins. */
const PRAGMAS = /^(?:use|no) (?:strict|warnings)\b.*;\n/gm;

function place(directory: string, name: string, text: string): string {
  const program = text.replaceAll(PRAGMAS, '');
  const hash = createHash('sha256').update(program).digest('hex').slice(0, 12);
  const path = join(directory, `${name}-${hash}.pl`);
  if (!existsSync(path)) {
    const draft = `${path}.${process.pid}`;
    writeOwnFile(draft, program);
    renameSync(draft, path);
  }
  return path;
}
