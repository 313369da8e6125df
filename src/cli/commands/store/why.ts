import type { Command } from 'commander';
import type { ExplainedReason } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { explanationDocument } from '../../output/documents/report-document.js';
import { formatSize } from '../../output/human-units.js';
import { formatReason } from '../../output/keep-reason.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Tells what keeps an image or a layer from being pruned: the chain from it to a pin, a container or a pull.',
    )
    .argument('<thing>', 'an image (name, digest, first digits) or a layer (digest, first digits)')
    .action(async (thing: string) => {
      await cli.withStore(async ({ provisioner, output }) => {
        const explanation = await provisioner.store.why(thing);
        const { kind, id, names, bytes, reasons } = explanation;
        output.line([kind, id, ...names, formatSize(bytes)].join('  '));
        if (reasons.length === 0) output.line('  nothing keeps it: the next prune takes it unless it is told not to');
        for (const line of reasons.flatMap(linesOf)) output.line(`  ${line}`);
        output.document(() => explanationDocument(explanation));
      });
    });
}

function linesOf(reason: ExplainedReason): string[] {
  const because = reason.because?.map((other) => `  ${formatReason(other)}`) ?? [];
  if (reason.because?.length === 0) because.push('  which nothing keeps');
  return [formatReason(reason), ...because];
}
