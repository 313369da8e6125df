import { linkSync, readFileSync, renameSync } from 'node:fs';
import { ProvisionerError, systemCode } from '../../../base/errors.js';
import { writeOwnFile } from '../../../base/own-files.js';
import type { OciSeccomp } from '../../../system/seccomp/oci-seccomp.js';
import { changedIo } from '../../cgroups/limits/disk-limits.js';
import type { LaunchOptions, StartOptions } from '../../containerizer.js';
import type { LaunchLimits } from '../../launch-spec.js';
import type { LaunchDirectory } from './launch-directory.js';
import type { LaunchRoot } from './launch-root.js';

/** What a launch was told, as far as it is the same when it is launched again. */
export type KeptOptions = Omit<LaunchOptions, 'provision' | 'stdin' | 'attach' | 'signal'>;

/** The same again, with what whoever starts it says now. */
export function startedAgain(kept: KeptOptions, { stdin, attach, size, signal }: StartOptions): LaunchOptions {
  return { ...kept, terminal: kept.terminal && (size ?? kept.terminal), stdin, attach, signal };
}

/** All that is needed to start the same program again in the same root filesystem, also when its image has gone. Values of variables are in it, and files of secrets by name. */
export interface KeptSpec {
  /** The sources of its mounts as they were found then. */
  readonly options: KeptOptions;
  readonly root: LaunchRoot;
  /** What was made of a profile of the caller's, which may be another one since. */
  readonly seccomp?: OciSeccomp | undefined;
}

/** @param flush whether it survives a power cut from then on */
export function keepSpec(directory: LaunchDirectory, { options, root, seccomp }: KeptSpec, flush = false): void {
  const { provision: _, stdin: __, attach: ___, signal: ____, ...kept } = options as LaunchOptions;
  writeOwnFile(directory.spec, JSON.stringify({ options: kept, root, seccomp }), { flush });
}

/** @throws ProvisionerError `ERR_START_FAILED` where there is none, or none that can be read */
export function readSpec(directory: LaunchDirectory, containerId: string): KeptSpec {
  try {
    return JSON.parse(readFileSync(directory.spec, 'utf8')) as KeptSpec;
  } catch (cause) {
    throw new ProvisionerError('ERR_START_FAILED', `what container ${containerId} is to run cannot be read any more`, {
      cause,
      hint: `launch it anew: \`provisioner destroy ${containerId}\`, then \`run\``,
      details: { containerId },
    });
  }
}

/** So that it has them when it is started again. @throws like Node's `fs` */
export function keepLimits(directory: LaunchDirectory, containerId: string, limits: LaunchLimits): void {
  const { options, ...rest } = readSpec(directory, containerId);
  const given = Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
  // Memory alone takes swap along.
  const { memorySwapBytes: _, ...withoutSwap } = options.limits ?? {};
  const before = limits.memoryBytes === undefined ? options.limits : withoutSwap;
  const io = limits.io && { io: changedIo(options.limits?.io ?? [], limits.io) };
  const draft = `${directory.spec}.${process.pid}`;
  writeOwnFile(draft, JSON.stringify({ ...rest, options: { ...options, limits: { ...before, ...given, ...io } } }));
  renameSync(draft, directory.spec);
}

/** What the next launch of a container goes on with: what it is to run, and what it has printed so far. The same files, so that they are there whichever of the two launches is given up. */
export function keepFiles(from: LaunchDirectory, to: LaunchDirectory): void {
  for (const name of ['spec', 'space', 'olderLog', 'log'] as const) {
    try {
      linkSync(from[name], to[name]);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
    }
  }
}
