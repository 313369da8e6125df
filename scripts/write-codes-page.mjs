// Writes docs/errors.md, of what `npm run build` has made.
import { writeFileSync } from 'node:fs';
import { COMMAND_ERRORS, COMMAND_WARNINGS } from '../build/cli/output/command-codes.js';
import { COUNTER_TABLES, ERROR_TABLES, WARNING_TABLES } from '../build/code-lists.js';
import { codesPage } from './codes-page.mjs';

const errors = { ...ERROR_TABLES, commandLine: COMMAND_ERRORS };
const warnings = { ...WARNING_TABLES, commandLine: COMMAND_WARNINGS };
const page = codesPage({ errors, warnings, counters: COUNTER_TABLES });
writeFileSync(new URL('../docs/errors.md', import.meta.url), page);
