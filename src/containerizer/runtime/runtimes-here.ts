import { closeSync } from 'node:fs';
import { firstLine } from '../../base/errors.js';
import { loadProcesses } from '../../system/processes/load-processes.js';
import { readPipe } from '../../system/processes/pipe-streams.js';
import type { Processes } from '../../system/processes/processes.js';
import { findSystemProgram } from './find-runtime.js';
import { knownHoles } from './known-holes.js';
import { RUNTIME_NAMES, type RuntimeName } from './oci-runtime.js';

/** A runtime that is installed on this machine. */
export interface RuntimeHere {
  readonly name: RuntimeName;
  /** Absolute. */
  readonly program: string;
  /** As it tells it, such as `1.1.5+ds1`; undefined where it does not tell it. */
  readonly version: string | undefined;
  /** Why its version is not known, where it is not. */
  readonly problem: string | undefined;
  /** Whether it is the one that runs what names no runtime. */
  readonly isDefault: boolean;
  /** CVE numbers of faults by which a program may get out of its container, which this version has unless a distribution has mended it under the same number. */
  readonly knownHoles: readonly string[];
}

/** Milliseconds in which a runtime tells its version: mostly it takes ten of them. */
const ANSWER = 3000;
const ANSWER_BYTES = 4096;
const SIGKILL = 9;

/** The runtimes of this machine, the default one first; each is run to tell its version. Launches do not ask for it. @param answer milliseconds that each has */
export async function runtimesHere({ answer = ANSWER }: { readonly answer?: number } = {}): Promise<RuntimeHere[]> {
  const found = RUNTIME_NAMES.flatMap((name) => {
    const program = findSystemProgram(name);
    return program === undefined ? [] : [{ name, program }];
  });
  return Promise.all(
    found.map(async ({ name, program }, at) => {
      const told = await versionOf(name, program, answer);
      const version = 'version' in told ? told.version : undefined;
      return {
        name,
        program,
        version,
        problem: 'problem' in told ? told.problem : undefined,
        isDefault: at === 0,
        knownHoles: version === undefined ? [] : knownHoles(name, version),
      };
    }),
  );
}

type Told = { readonly version: string } | { readonly problem: string };

async function versionOf(name: RuntimeName, program: string, answer: number): Promise<Told> {
  try {
    const said = await output(loadProcesses(), program, answer);
    if (said === undefined) return { problem: `it did not answer within ${answer / 1000} s` };
    const version = new RegExp(`^${name} version (\\S+)`, 'm').exec(said)?.[1];
    return version === undefined ? { problem: 'it does not say' } : { version };
  } catch (error) {
    return { problem: firstLine(error) };
  }
}

/** What `--version` prints, or its beginning; undefined when that did not come in time. */
async function output(processes: Processes, program: string, answer: number): Promise<string | undefined> {
  const pipe = processes.openPipe();
  const stdout = readPipe(pipe.readEnd);
  try {
    const { pid } = await processes
      .spawn({ program, args: ['--version'], env: {}, descriptors: ['null', pipe.writeEnd, 'null'] })
      .finally(() => closeSync(pipe.writeEnd));
    // A child of it may hold the pipe.
    const late = setTimeout(() => stdout.destroy(), answer);
    let text = '';
    try {
      for await (const bytes of stdout) {
        text += bytes;
        if (text.length > ANSWER_BYTES) break;
      }
    } catch {
      return undefined;
    } finally {
      clearTimeout(late);
      const process = processes.open(pid);
      process?.send(SIGKILL);
      process?.close();
      // Asked for, so that it stays no zombie; one that does not die is not waited for.
      void processes.exitOf(pid, { signal: AbortSignal.timeout(answer) }).catch(() => undefined);
    }
    return text;
  } finally {
    stdout.destroy();
  }
}
