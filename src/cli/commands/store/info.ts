import type { Command } from 'commander';
import type { StoreInfo } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { infoDocument } from '../../output/documents/info-document.js';
import { formatAge } from '../../output/human-units.js';
import { packageVersion } from '../../package-version.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Shows the store, the versions, and which backends work here, each tried for real.')
    .action(async () => {
      await cli.withStore(async ({ provisioner, output }) => {
        const info = await provisioner.store.info();
        for (const [label, value] of summary(info)) output.line(`${label}:`.padEnd(LABEL_WIDTH) + value);
        if (info.readOnly !== undefined) {
          output.line('');
          output.line(`read-only: ${info.readOnly.reason}`);
          output.line(`hint: ${info.readOnly.hint}`);
        }
        if (info.degradation !== undefined) {
          output.line('');
          output.line(`degraded: ${info.degradation.reason}`);
          output.line(`hint: ${info.degradation.hint}`);
        }
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

const ZSTD: Readonly<Record<StoreInfo['zstd'], string>> = {
  libzstd: 'libzstd',
  node: "Node's own",
  javascript: 'JavaScript',
};

function summary(info: StoreInfo): (readonly [label: string, value: string])[] {
  return [
    ['root', info.root],
    ['format', `${info.format.version}, ${info.format.whiteouts} whiteouts`],
    ['provisioner', packageVersion()],
    ['node', process.versions.node],
    ['system calls', info.nativeMissing === undefined ? info.syscalls : `${info.syscalls}: ${info.nativeMissing}`],
    ['sqlite', sqliteText(info)],
    ['gzip', info.isalMissing === undefined ? 'ISA-L' : `zlib: ${info.isalMissing}`],
    ['zstd', info.zstdMissing === undefined ? 'libzstd' : `${ZSTD[info.zstd]}: ${info.zstdMissing}`],
    ['workers', String(info.workers)],
    ['images', String(info.images)],
    ['layers', String(info.layers)],
    ['containers', String(info.containers)],
    ['lock', lockText(info.lock)],
    ['gc', gcText(info.gc)],
  ];
}

function sqliteText({ sqlite, betterSqlite3Missing }: StoreInfo): string {
  if (sqlite === undefined) return 'none: the records are in memory';
  return betterSqlite3Missing === undefined ? sqlite : `${sqlite}: ${betterSqlite3Missing}`;
}

function lockText({ holders, writer }: StoreInfo['lock']): string {
  if (writer !== undefined) {
    const holds = holders.some((holder) => holder.kind === 'exclusive');
    const since = formatAge(Date.now() - writer.since);
    const waits = `waits for processes ${holders.map(holderText).join(', ')}`;
    return `process ${writer.pid} (${writer.purpose}${writer.stopped ? ', stopped' : ''}), for ${since}, ${holds ? 'holds it alone' : waits}`;
  }
  return holders.length === 0 ? 'free' : `shared by processes ${holders.map(holderText).join(', ')}`;
}

function holderText({ pid, stopped }: StoreInfo['lock']['holders'][number]): string {
  return stopped ? `${pid} (stopped)` : String(pid);
}

function gcText({ entries, postponed }: StoreInfo['gc']): string {
  return `${entries} to delete${postponed.length === 0 ? '' : `, ${postponed.length} postponed: ${postponed[0]?.reason}`}`;
}

function yesNo(value: boolean): string {
  return value ? 'yes' : 'no';
}
