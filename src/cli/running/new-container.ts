import { randomBytes } from 'node:crypto';
import { type Command, Option } from 'commander';
import type { CreateOptions, RuntimeName } from '../../containerizer/index.js';
import type { ProvisionOptions } from '../../index.js';
import type { StoreFlags } from '../flags.js';
import type { HostProcess } from '../host-process.js';
import type { OwnerFlags } from '../owner-flags.js';
import { addPullFlags, type PullFlags, pullOptions, pullStoreFlags } from '../pull-flags.js';
import { addTerminalFlag, type TerminalFlags, terminalSize } from '../terminal/terminal-flags.js';
import { addLaunchFlags, type LaunchFlags, launchOptions, type SpecFlags } from './flags/launch-flags.js';

/** Where the root filesystem of a new container comes from, and whose it is. */
export interface RootFlags extends PullFlags, Pick<OwnerFlags, 'owner'> {
  readonly backend?: Exclude<ProvisionOptions['backend'], undefined>;
  readonly pull?: PullFlags['policy'];
}

/** What `run` and `create` are told of the container that they make. */
export interface NewContainerFlags extends LaunchFlags, RootFlags, TerminalFlags {
  readonly name?: string;
  readonly runtime?: RuntimeName;
}

/** What `spec` is told. */
export interface ForeignContainerFlags extends SpecFlags, RootFlags {}

export function addNewContainerFlags(command: Command): void {
  command
    .option('--name <container-id>', 'what the container is called (default: a name is made)')
    .addOption(new Option('--runtime <name>', 'what runs it (default: crun, else runc)').choices(['crun', 'runc']));
  addTerminalFlag(command);
  addLaunchFlags(command);
  addRootFlags(command);
}

export function addRootFlags(command: Command): void {
  command.addOption(
    new Option('--backend <name>', 'how its root filesystem is made (default: auto)').choices([
      'auto',
      'overlay',
      'copy',
      'bind',
    ]),
  );
  command.option('--owner <name>', 'act as this agent, to which the container belongs (default: default)');
  addPullFlags(command, 'missing', 'pull');
}

/** @throws UsageError */
export function rootOptions(flags: RootFlags): Pick<CreateOptions, 'provision'> & { readonly storeFlags: StoreFlags } {
  const provision = pullOptions({ ...flags, ...(flags.pull === undefined ? {} : { policy: flags.pull }) });
  return {
    provision: { ...provision, backend: flags.backend },
    storeFlags: { owner: flags.owner, ...pullStoreFlags(flags) },
  };
}

export interface NewContainer {
  readonly id: string;
  readonly options: CreateOptions;
  /** For the session that opens its store. */
  readonly storeFlags: StoreFlags;
}

/** @param words of the command line: the program and its arguments; empty for the image's @throws UsageError */
export function newContainer(flags: NewContainerFlags, words: readonly string[], host: HostProcess): NewContainer {
  const { provision, storeFlags } = rootOptions(flags);
  return {
    id: flags.name ?? `run-${randomBytes(5).toString('hex')}`,
    options: { ...launchOptions(flags, words, host.environment), terminal: terminalSize(flags, host), provision },
    storeFlags,
  };
}
