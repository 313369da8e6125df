// Makes docs/errors.md of the tables of codes and counters, for `npm run codes-page`, which writes it, and for the test that finds it stale.

/** @typedef {{ meaning: string, whatToDo: string, retryable: boolean | { when: string } }} ErrorEntry */
/** @typedef {{ meaning: string, whatToDo: string }} WarningEntry */
/** @typedef {{ meaning: string, unit: string }} CounterEntry */

const INTRODUCTION = `# Errors, warnings and counters

This page is made of the tables in \`src\` by \`npm run codes-page\`; a test compares it with them.

## Errors

Every failure that a caller can meet is a \`ProvisionerError\` with a \`code\` to branch on, a message for people, a \`hint\` that says what to do in the very case, the
\`details\` involved, and the error beneath as its \`cause\`. Messages may change; codes may not. \`isProvisionerError(error, ...codes)\` recognises one, whichever copy of
the package made it, in whichever thread.

\`isRetryable(error)\` says whether it is worth another try *as it is*: whether the same call, made again later, may succeed although its caller has changed nothing,
neither arguments nor settings, because what stood in its way passes by itself or by the work of others. It is no promise and says nothing of when: try again with
growing pauses, and not for ever. Of an error of the system it is true for a shortage (\`ENOSPC\`, \`EMFILE\`, \`EBUSY\`, …), of anything else that was thrown it is false.`;

const WARNINGS = `## Warnings

\`events.on('warning', …)\` tells of what the library chose to survive; the command line writes it to stderr.`;

const COUNTERS = `## Counters

\`p.counters()\` gives a frozen object with these plain numbers. They begin with 0 when the provisioner is opened, count what this provisioner has done, and only grow.`;

const OWNERS = { library: 'Everywhere', registry: 'Registries', commandLine: 'The command line alone' };

/**
 * @param {{ errors: Record<string, Record<string, ErrorEntry>>, warnings: Record<string, Record<string, WarningEntry>>, counters: Record<string, Record<string, CounterEntry>> }} tables
 * @returns {string} the page
 */
export function codesPage({ errors, warnings, counters }) {
  const parts = [
    INTRODUCTION,
    ...sections(errors, ['code', 'meaning', 'what to do', 'worth another try'], (entry) => [
      entry.meaning,
      entry.whatToDo,
      worth(entry.retryable),
    ]),
    WARNINGS,
    ...sections(warnings, ['code', 'meaning', 'what to do'], (entry) => [entry.meaning, entry.whatToDo]),
    COUNTERS,
    ...sections(counters, ['counter', 'meaning', 'unit'], (entry) => [entry.meaning, entry.unit]),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** @param {ErrorEntry['retryable']} rule */
function worth(rule) {
  if (typeof rule === 'boolean') return rule ? 'yes' : 'no';
  return `when ${rule.when}`;
}

/**
 * @template Entry
 * @param {Record<string, Record<string, Entry>>} tables by who declares them
 * @param {string[]} head
 * @param {(entry: Entry) => string[]} cells what follows the code
 */
function sections(tables, head, cells) {
  return Object.entries(tables).map(([owner, table]) => {
    const rows = Object.entries(table).map(([code, entry]) => row([`\`${code}\``, ...cells(entry)]));
    return [`### ${OWNERS[owner] ?? owner}`, '', row(head), row(head.map(() => '---')), ...rows].join('\n');
  });
}

/** @param {string[]} cells */
function row(cells) {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
