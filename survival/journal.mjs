// @ts-check
import { openSync, writeSync } from 'node:fs';

/**
 * Where a process tells what it is about to do and what it was told, each with one write, so that nothing is lost when it dies.
 * @param {string} file @param {string} name of the process, for what goes wrong
 */
export function openJournal(file, name) {
  const journal = openSync(file, 'a');
  /** @param {object} event */
  const tell = (event) => writeSync(journal, `${JSON.stringify(event)}\n`);
  /** @param {string} text */
  const fault = (text) => tell({ what: 'fault', text: `${name}: ${text}` });
  process.on('uncaughtException', (error) => {
    fault(`died of ${error.stack}`);
    process.exit(1);
  });
  return { tell, fault };
}
