import { type Command, Option } from 'commander';
import type { PullImageOptions } from '../index.js';
import type { StoreFlags } from './flags.js';
import { parseCount, parseSize } from './output/parse-units.js';
import { addRegistryFlags, type RegistryFlags, registryOptions } from './registry-flags.js';

/** What may be said of any pull. */
export interface PullFlags extends RegistryFlags, ProgressFlag {
  readonly platform?: string;
  readonly policy?: Exclude<PullImageOptions['pullPolicy'], undefined>;
  readonly maxSize?: string;
  readonly maxDownloads?: string;
  readonly tarRecords?: boolean;
}

export interface ProgressFlag {
  readonly progress?: Exclude<StoreFlags['progress'], undefined>;
}

/** As the library has it. */
const MOST_DOWNLOADS = 64;

/** @param policy the default @param name what the option is called that says when to pull */
export function addPullFlags(command: Command, policy: 'missing' | 'always', name: 'policy' | 'pull' = 'policy'): void {
  command
    .option('--platform <os/arch>', 'for a pull, which image of several platforms (default: this machine, for Linux)')
    .addOption(
      new Option(`--${name} <when>`, `when to pull (default: ${policy})`).choices(['missing', 'always', 'never']),
    )
    .option(
      '--max-size <size>',
      'refuse an image whose layers are larger, compressed, such as 2GB (default: no limit)',
    );
  command.option('--max-downloads <n>', 'layers that are fetched at a time (default: 6)');
  addTarRecordsFlag(command);
  addProgressFlag(command);
  addRegistryFlags(command);
}

export function addTarRecordsFlag(command: Command): void {
  command.option('--no-tar-records', 'do not keep what is needed to make the archives of layers again, byte for byte');
}

export function addProgressFlag(command: Command): void {
  command.addOption(
    new Option(
      '--progress <how>',
      'how pulls are shown on stderr (default: bar on a terminal, else plain; none with --json)',
    ).choices(['bar', 'plain', 'json', 'none']),
  );
}

/** @throws UsageError */
export function pullOptions({
  platform,
  policy,
  maxSize,
  progress: _,
  maxDownloads: __,
  tarRecords: ___,
  ...registry
}: PullFlags): PullImageOptions {
  return {
    platform,
    pullPolicy: policy,
    maxImageBytes: maxSize === undefined ? undefined : parseSize(maxSize, '--max-size'),
    registry: registryOptions(registry),
  };
}

/** What a store is opened with for a pull. @throws UsageError */
export function pullStoreFlags({ progress, maxDownloads, tarRecords }: PullFlags): StoreFlags {
  return {
    progress,
    tarRecords,
    create: true,
    maxDownloads: maxDownloads === undefined ? undefined : parseCount(maxDownloads, '--max-downloads', MOST_DOWNLOADS),
  };
}
