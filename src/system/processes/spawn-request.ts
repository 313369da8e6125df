import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { systemCode } from '../../base/errors.js';
import { syscallError } from '../syscalls/syscalls.js';
import type { SpawnRequest } from './processes.js';

/** Programs take it for granted that these are open, and write into whatever is. */
const STANDARD = 3;

/** A request with all that may be left out. */
export interface WholeRequest {
  readonly program: string;
  /** The program's own name first. */
  readonly texts: readonly string[];
  /** `NAME=value`. */
  readonly variables: readonly string[];
  readonly directory: string | undefined;
  readonly descriptors: readonly (number | 'null')[];
  readonly newSession: boolean;
}

/** @throws `EINVAL` as `Processes.spawn` */
export function wholeRequest(request: SpawnRequest, syscall: string): WholeRequest {
  const { program, args, env, directory, descriptors = [], newSession = true } = request;
  const invalid = (): Error => syscallError('EINVAL', syscall, program);
  const texts = [program, ...args];
  const names = Object.keys(env);
  const variables = names.map((name) => `${name}=${env[name]}`);
  const paths = directory === undefined ? [program] : [program, directory];
  // In C a NUL ends the text: what follows would be lost without a word.
  if ([...texts, ...variables, ...paths].some((text) => text.includes('\0'))) throw invalid();
  if (names.some((name) => name === '' || name.includes('=')) || !paths.every((path) => isAbsolute(path)))
    throw invalid();
  if (descriptors.some((one) => one !== 'null' && !(Number.isInteger(one) && one >= 0))) throw invalid();
  const missing = Array<'null'>(Math.max(0, STANDARD - descriptors.length)).fill('null');
  return { program, texts, variables, directory, descriptors: [...descriptors, ...missing], newSession };
}

/** The call that starts a process says why it failed and not of what: a directory that is not there is told from a program that is not. */
export function spawnFailure(code: string, syscall: string, { program, directory }: WholeRequest): Error {
  const ofDirectory = directory === undefined ? undefined : directoryFault(directory);
  if (ofDirectory !== undefined && ofDirectory === code) return syscallError(code, 'chdir', directory);
  return syscallError(code, syscall, program);
}

function directoryFault(directory: string): string | undefined {
  try {
    // With a dot at its end it is entered, as by chdir(2).
    return statSync(`${directory}/.`).isDirectory() ? undefined : 'ENOTDIR';
  } catch (error) {
    return systemCode(error);
  }
}
