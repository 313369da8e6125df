import type { Command } from 'commander';
import type { RuntimeHere } from '../../../containerizer/index.js';
import type { StoreInfo } from '../../../index.js';
import type { Cli } from '../../cli.js';
import type { COMMAND_WARNINGS } from '../../output/command-codes.js';
import { infoDocument } from '../../output/documents/info-document.js';
import { formatAge } from '../../output/human-units.js';
import type { Output } from '../../output/output.js';
import { packageVersion } from '../../package-version.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Shows the store, the versions, which backends work here, each tried for real, and which runtimes there are.',
    )
    .action(async () => {
      await cli.withStore(async ({ provisioner, output }) => {
        const { runtimesHere } = await import('../../../containerizer/index.js');
        const [info, runtimes] = await Promise.all([provisioner.store.info(), runtimesHere()]);
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
        tellRuntimes(output, runtimes);
        output.document(() => infoDocument(info, runtimes));
      });
    });
}

function tellRuntimes(output: Output, runtimes: readonly RuntimeHere[]): void {
  output.line('');
  if (runtimes.length === 0) output.line('no runtime: containers cannot be run (`apt-get install crun`)');
  else {
    output.table(
      ['RUNTIME', 'VERSION', 'DEFAULT', 'PROGRAM', 'KNOWN HOLES'],
      runtimes.map(({ name, program, version, problem, isDefault, knownHoles }) => [
        name,
        version ?? `unknown: ${problem}`,
        yesNo(isDefault),
        program,
        knownHoles.join(' ') || '-',
      ]),
    );
  }
  const open = runtimes.find(({ isDefault, knownHoles }) => isDefault && knownHoles.length > 0);
  if (open === undefined) return;
  const { name, program, version = '', knownHoles } = open;
  output.warning({
    code: 'RUNTIME_OUTDATED' satisfies keyof typeof COMMAND_WARNINGS,
    message: `${name} ${version} has known holes (${knownHoles.join(', ')}), unless the distribution has mended them under the same number`,
    details: { runtime: name, program, version, holes: knownHoles.join(' ') },
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
