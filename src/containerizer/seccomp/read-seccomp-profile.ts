import { constants } from 'node:os';
import * as v from 'valibot';
import { checkDocument, describeFault, strictObjectOf } from '../../base/check-document.js';
import { firstLine, ProvisionerError } from '../../base/errors.js';
import { readForeignText } from '../../base/foreign-file.js';
import {
  hasErrno,
  type OciArgumentRule,
  SECCOMP_ACTIONS,
  SECCOMP_OPERATORS,
  type SeccompAction,
  type SeccompOperator,
} from '../../system/seccomp/oci-seccomp.js';
import { isArchitecture } from './architectures.js';
import type { KernelVersion, ProfileRule, RuleCondition, SeccompProfile } from './seccomp-profile.js';

/** As many as the kernel lets a filter answer with. @see `MAX_ERRNO` of linux/err.h */
const MOST_ERRNO = 4095;
const MOST_ARGUMENTS = 6;

const among = (table: object, message: string) =>
  v.pipe(
    v.string(),
    v.check((text) => Object.hasOwn(table, text), message),
  );
const action = among(
  SECCOMP_ACTIONS,
  `is no action that is supported here; there are ${Object.keys(SECCOMP_ACTIONS).join(', ')}`,
);
const operator = among(SECCOMP_OPERATORS, `is no comparison; there are ${Object.keys(SECCOMP_OPERATORS).join(', ')}`);
const errnoNumber = v.pipe(
  v.number(),
  v.check((number) => Number.isInteger(number) && number >= 0 && number <= MOST_ERRNO, 'is no number of an error'),
);
/** Whose name goes before the number, as with podman. */
const errnoName = v.pipe(
  v.string(),
  v.check((text) => text === '' || numberOf(text) !== undefined, 'is no name of an error, such as EPERM'),
);
/** Numbers that JSON has had to round are others than were meant. */
const argument = v.pipe(
  v.number(),
  v.check((number) => Number.isSafeInteger(number) && number >= 0, 'is no whole number from 0 to 2^53 - 1'),
);
const architecture = v.pipe(
  v.string(),
  v.check((text) => /^SCMP_ARCH_[A-Z0-9_]+$/.test(text), 'is no architecture, such as SCMP_ARCH_X86_64'),
);
const listOf = <Item extends v.GenericSchema>(item: Item) => v.nullish(v.array(item));

const CONDITION = v.nullish(
  strictObjectOf({
    caps: listOf(
      v.pipe(
        v.string(),
        v.check((text) => /^CAP_[A-Z_]+$/.test(text), 'is no capability, such as CAP_SYS_ADMIN'),
      ),
    ),
    arches: listOf(v.pipe(v.string(), v.check(isArchitecture, 'is no architecture, such as amd64'))),
    minKernel: v.nullish(
      v.pipe(
        v.string(),
        v.check((text) => /^\d+\.\d+$/.test(text), 'is no version of a kernel, such as 4.8'),
      ),
    ),
  }),
);

const RULE = v.pipe(
  strictObjectOf({
    name: v.nullish(v.string()),
    names: listOf(
      v.pipe(
        v.string(),
        v.check((text) => /^\w+$/.test(text), 'is no name of a system call'),
      ),
    ),
    action,
    errnoRet: v.nullish(errnoNumber),
    errno: v.nullish(errnoName),
    args: listOf(
      strictObjectOf({
        index: v.pipe(
          v.number(),
          v.check(
            (index) => Number.isInteger(index) && index >= 0 && index < MOST_ARGUMENTS,
            'is no argument: they are 0 to 5',
          ),
        ),
        value: argument,
        valueTwo: v.nullish(argument),
        op: operator,
      }),
    ),
    comment: v.nullish(v.string()),
    includes: CONDITION,
    excludes: CONDITION,
  }),
  v.check(({ name, names }) => !name !== !names?.length, 'has either `names` or, as in old ones, a `name`'),
  v.check(({ args }) => (args?.length ?? 0) <= MOST_ARGUMENTS, 'has more `args` than a system call'),
  v.check((rule) => fits(rule.action, rule.errnoRet, rule.errno), 'has an error that its action does not answer with'),
);

/** What we do not know may be what somebody relies on to be refused, so it is not passed over. */
const PROFILE = v.pipe(
  strictObjectOf({
    defaultAction: action,
    defaultErrnoRet: v.nullish(errnoNumber),
    defaultErrno: v.nullish(errnoName),
    architectures: listOf(architecture),
    archMap: listOf(strictObjectOf({ architecture, subArchitectures: listOf(architecture) })),
    flags: listOf(
      v.pipe(
        v.string(),
        v.check(
          (text) => /^SECCOMP_FILTER_FLAG_(TSYNC|LOG|SPEC_ALLOW)$/.test(text),
          'is no flag that is supported here',
        ),
      ),
    ),
    syscalls: listOf(RULE),
  }),
  v.check(
    ({ architectures, archMap }) => !architectures?.length || !archMap?.length,
    'has both `architectures` and an `archMap`',
  ),
  v.check(
    (profile) => fits(profile.defaultAction, profile.defaultErrnoRet, profile.defaultErrno),
    'has a default error that its default action does not answer with',
  ),
);

/**
 * Reads a profile of Docker's and podman's format. @param path absolute @throws ProvisionerError `ERR_SECCOMP_PROFILE`: it cannot be read, or is none; the message says where
 */
export async function readSeccompProfile(path: string): Promise<SeccompProfile> {
  let text: string;
  try {
    text = await readForeignText(path);
  } catch (cause) {
    throw badProfile(path, firstLine(cause), cause);
  }
  return parseSeccompProfile(text, path);
}

/** @param where it comes from, for messages @throws ProvisionerError `ERR_SECCOMP_PROFILE` */
export function parseSeccompProfile(text: string, where: string): SeccompProfile {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw badProfile(where, `it is no JSON: ${firstLine(cause)}`, cause);
  }
  const checked = checkDocument(PROFILE, document);
  if (!checked.sound) {
    const [first, ...others] = checked.faults.map(describeFault);
    throw badProfile(where, others.length === 0 ? `${first}` : `${first}, and ${others.length} more`);
  }
  return profileOf(checked.value);
}

function profileOf(document: v.InferOutput<typeof PROFILE>): SeccompProfile {
  return {
    defaultAction: document.defaultAction as SeccompAction,
    defaultErrno: errnoOf(document.defaultErrnoRet, document.defaultErrno),
    architectures: document.architectures ?? [],
    archMap: (document.archMap ?? []).map((one) => ({ ...one, subArchitectures: one.subArchitectures ?? [] })),
    flags: document.flags ?? [],
    rules: (document.syscalls ?? []).map(ruleOf),
  };
}

function ruleOf(rule: v.InferOutput<typeof RULE>): ProfileRule {
  return {
    names: rule.name ? [rule.name] : (rule.names ?? []),
    action: rule.action as SeccompAction,
    errno: errnoOf(rule.errnoRet, rule.errno),
    args: (rule.args ?? []).map(argumentRuleOf),
    includes: conditionOf(rule.includes),
    excludes: conditionOf(rule.excludes),
  };
}

type WrittenArgument = { index: number; value: number; valueTwo?: number | null | undefined; op: string };

function argumentRuleOf({ index, value, valueTwo, op }: WrittenArgument): OciArgumentRule {
  const second = valueTwo ? { valueTwo } : {};
  return { index, value, ...second, op: op as SeccompOperator };
}

function conditionOf(condition: v.InferOutput<typeof CONDITION>): RuleCondition {
  const { caps, arches, minKernel } = condition ?? {};
  return { caps: caps ?? [], arches: arches ?? [], minKernel: minKernel ? kernelVersion(minKernel) : undefined };
}

/** Of a text that begins with it, such as `6.1.0-18-amd64`; 0.0 of any other. */
export function kernelVersion(text: string): KernelVersion {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(text) ?? [];
  return { major: Number(major), minor: Number(minor) };
}

/** A name goes before a number, as with podman, which writes both. */
function errnoOf(number: number | null | undefined, name: string | null | undefined): number | undefined {
  return name ? numberOf(name) : (number ?? undefined);
}

function numberOf(name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name) <= MOST_ERRNO ? Number(name) : undefined;
  return Object.hasOwn(constants.errno, name) ? constants.errno[name as keyof typeof constants.errno] : undefined;
}

/** Runtimes refuse an error with an action that has none. */
function fits(action: string, number: number | null | undefined, name: string | null | undefined): boolean {
  return hasErrno(action as SeccompAction) || errnoOf(number, name) === undefined;
}

function badProfile(where: string, problem: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_SECCOMP_PROFILE', `the seccomp profile ${where} cannot be used: ${problem}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'correct the file, or leave it out: the default profile holds then',
    details: { path: where, problem },
  });
}
