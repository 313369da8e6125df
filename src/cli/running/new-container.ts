import { randomBytes } from 'node:crypto';
import { type Command, Option } from 'commander';
import type { CreateOptions, RuntimeName } from '../../containerizer/index.js';
import type { ProvisionOptions } from '../../index.js';
import type { StoreFlags } from '../flags.js';
import type { OwnerFlags } from '../owner-flags.js';
import { addPullFlags, type PullFlags, pullOptions, pullStoreFlags } from '../pull-flags.js';
import { addLaunchFlags, type LaunchFlags, launchOptions } from './launch-flags.js';

/** What `run` and `create` are told of the container that they make. */
export interface NewContainerFlags extends LaunchFlags, PullFlags, Pick<OwnerFlags, 'owner'> {
  readonly name?: string;
  readonly runtime?: RuntimeName;
  readonly backend?: Exclude<ProvisionOptions['backend'], undefined>;
  readonly pull?: PullFlags['policy'];
}

export function addNewContainerFlags(command: Command): void {
  command
    .option('--name <container-id>', 'what the container is called (default: a name is made)')
    .addOption(new Option('--runtime <name>', 'what runs it (default: crun, else runc)').choices(['crun', 'runc']));
  addBackendFlag(command);
  addLaunchFlags(command);
  command.option('--owner <name>', 'act as this agent, to which the container belongs (default: default)');
  addPullFlags(command, 'missing', 'pull');
}

export function addBackendFlag(command: Command): void {
  command.addOption(
    new Option('--backend <name>', 'how its root filesystem is made (default: auto)').choices([
      'auto',
      'overlay',
      'copy',
      'bind',
    ]),
  );
}

export interface NewContainer {
  readonly id: string;
  readonly options: CreateOptions;
  /** For the session that opens its store. */
  readonly storeFlags: StoreFlags;
}

/** @param words of the command line: the program and its arguments; empty for the image's @throws UsageError */
export function newContainer(
  flags: NewContainerFlags,
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): NewContainer {
  const provision = pullOptions({ ...flags, ...(flags.pull === undefined ? {} : { policy: flags.pull }) });
  return {
    id: flags.name ?? `run-${randomBytes(5).toString('hex')}`,
    options: {
      ...launchOptions(flags, words, environment),
      provision: { ...provision, backend: flags.backend },
    },
    storeFlags: { owner: flags.owner, ...pullStoreFlags(flags) },
  };
}
