import { terminalText } from './terminal-text.js';

const GAP = '   ';

/**
 * Columns that line up, without borders. Cells are made fit for a terminal here, so no caller can forget it.
 * @param rows as many cells each as there are headings
 * @returns one line for the headings and one for each row, each ended
 */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows].map((cells) => cells.map(terminalText));
  const widths = headings.map((_, column) => Math.max(...lines.map((cells) => width(cells[column] ?? ''))));
  return lines
    .map((cells) => cells.map((cell, column) => cell + padding(cell, widths[column] ?? 0)).join(GAP))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

function padding(cell: string, columnWidth: number): string {
  return ' '.repeat(columnWidth - width(cell));
}

function width(cell: string): number {
  return [...cell].length;
}
