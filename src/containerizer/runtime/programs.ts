import { createHash } from 'node:crypto';
import { closeSync, existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { ensureOwnDirectory, writeOwnFile } from '../../base/own-files.js';
import type { Processes } from '../../system/processes/processes.js';
import { MONITOR_PROGRAM } from '../monitor/monitor-program.js';
import { ENTER_PROGRAM } from './enter-program.js';

/** What is started, as it lies on this machine. */
export interface Programs {
  /** Where they lie, and other things of this boot; absolute. */
  readonly directory: string;
  /** The interpreter of the two that follow; absolute. */
  readonly perl: string;
  readonly monitor: string;
  readonly enter: string;
  /** A copy of the runtime in memory, which need not copy itself each time it starts; undefined where there is no such thing. */
  readonly sealedRuntime: number | undefined;
  close(): void;
}

/**
 * Writes the small programs of ours to where programs of this boot lie, under names that tell their content: other processes may be running those of another release.
 * @param directory not on the store's disk @throws like Node's `fs`
 */
export function makePrograms(directory: string, perl: string, runtime: string, processes: Processes): Programs {
  ensureOwnDirectory(directory);
  const monitor = place(directory, 'monitor', MONITOR_PROGRAM);
  const enter = place(directory, 'enter', ENTER_PROGRAM);
  const sealedRuntime = processes.sealedCopy(runtime);
  return {
    directory,
    perl,
    monitor,
    enter,
    sealedRuntime,
    close: () => sealedRuntime !== undefined && closeSync(sealedRuntime),
  };
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
