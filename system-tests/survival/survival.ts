import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeImages, type TestImage } from '../../survival/images.mjs';
import { makeReference, type Reference } from '../../survival/reference.mjs';

const OPERATION = fileURLToPath(new URL('../../survival/operation.mjs', import.meta.url));
const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Surroundings {
  readonly images: Readonly<Record<string, TestImage>>;
  readonly reference: Reference;
  remove(): void;
}

/** The images to break a store with, and what they are. For a whole file; `remove` them after its last test. */
export async function makeSurroundings(): Promise<Surroundings> {
  const directory = mkdtempSync(join(tmpdir(), 'provisioner-survival-'));
  try {
    const images = await makeImages(directory);
    const reference = await makeReference(directory, images);
    return { images, reference, remove: () => rmSync(directory, { recursive: true }) };
  } catch (error) {
    rmSync(directory, { recursive: true });
    throw error;
  }
}

/** A method of `Provisioner` and its arguments. */
export type Call = readonly [method: string, ...args: unknown[]];

export interface ProcessOutcome {
  /** What ended it; null when it ended by itself. */
  readonly signal: NodeJS.Signals | null;
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProcessOptions {
  /** Where it is to die. Default: nowhere. */
  readonly crashAt?: string;
  readonly owner?: string;
}

/** Calls a provisioner in a process of its own. */
export function callInProcess(
  root: string,
  calls: readonly Call[],
  options: ProcessOptions = {},
): Promise<ProcessOutcome> {
  return run([OPERATION, root, options.owner ?? 'default', JSON.stringify(calls)], options);
}

/** Runs the command line on a store. */
export function runCommand(
  root: string,
  args: readonly string[],
  options: ProcessOptions = {},
): Promise<ProcessOutcome> {
  return run([CLI, '--root', root, ...args], options);
}

function run(args: readonly string[], { crashAt }: ProcessOptions): Promise<ProcessOutcome> {
  const env = { PATH: process.env['PATH'], ...(crashAt === undefined ? {} : { PROVISIONER_CRASH_AT: crashAt }) };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, { env }, (_, stdout, stderr) => {
      resolve({ signal: child.signalCode, status: child.exitCode, stdout, stderr });
    });
  });
}
