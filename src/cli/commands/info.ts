import type { Command } from 'commander';
import type { StoreInfo } from '../../index.js';
import type { Cli } from '../cli.js';
import { packageVersion } from '../package-version.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Shows the store, the versions, and which backends work here, each tried for real.')
    .action(async () => {
      await cli.withStore(async ({ provisioner, output }) => {
        const info = await provisioner.info();
        for (const [label, value] of summary(info)) output.line(`${label}:`.padEnd(LABEL_WIDTH) + value);
        output.line('');
        output.table(
          ['BACKEND', 'USABLE', 'CHOSEN', 'REASON'],
          info.backends.map(({ name, usable, chosen, reason }) => [name, yesNo(usable), yesNo(chosen), reason]),
        );
        output.document(() => infoDocument(info));
      });
    });
}

const LABEL_WIDTH = 14;

function summary(info: StoreInfo): (readonly [label: string, value: string])[] {
  return [
    ['root', info.root],
    ['format', `${info.format.version}, ${info.format.whiteouts} whiteouts`],
    ['provisioner', packageVersion()],
    ['node', process.versions.node],
    ['system calls', info.syscalls],
    ['workers', String(info.workers)],
    ['images', String(info.images)],
    ['layers', String(info.layers)],
    ['containers', String(info.containers)],
  ];
}

function infoDocument({ root, format, syscalls, workers, backends, images, layers, containers }: StoreInfo) {
  return {
    root,
    format: { version: format.version, whiteouts: format.whiteouts },
    versions: { provisioner: packageVersion(), node: process.versions.node },
    syscalls,
    workers,
    images,
    layers,
    containers,
    backends: backends.map(({ name, usable, chosen, reason }) => ({ name, usable, chosen, reason })),
  };
}

function yesNo(value: boolean): string {
  return value ? 'yes' : 'no';
}
