/**
 * Who holds which keys: access keys of accounts and RAM users, and the temporary keys of role sessions.
 * Answers "whose key is this, and what may they do now"; rights are read from the world at each question,
 * so a policy that a test changes takes effect at once, as in RAM.
 */
import { evaluate, type Policy, type Request, sessionAllows } from "./ram.ts";
import { type AccessKey, newAccessKey, type Role, randomText, type World } from "./world.ts";

/** An authenticated identity, named as GetCallerIdentity names it. */
export interface Caller {
  readonly type: "Account" | "RAMUser" | "AssumedRoleUser";
  readonly accountId: string;
  /** acs:ram::ACCOUNT:root, :user/NAME or :assumed-role/ROLE/SESSION. */
  readonly arn: string;
  /** What a trust policy names: the user's or the role's ARN. */
  readonly principalArn: string;
  readonly principalId: string;
  readonly roleId?: string;
  readonly userId?: string;
  /** When the rights end: the session's expiry. Absent for long-lived keys. */
  readonly expiresAt?: Date;
  readonly sourceIdentity?: string;
  allows(request: Request): boolean;
}

export interface Key {
  readonly id: string;
  readonly secret: string;
  /** Temporary keys are good only together with this token. */
  readonly securityToken?: string;
  readonly caller: Caller;
}

export interface SessionInput {
  readonly role: Role;
  readonly name: string;
  readonly expiresAt: Date;
  readonly policy?: Policy;
  readonly sourceIdentity?: string;
}
export interface SessionKey extends Key {
  readonly securityToken: string;
}

export interface Keyring {
  find(accessKeyId: string): Key | undefined;
  /** Whether STS ever issued this token, for whatever key. */
  knowsToken(securityToken: string): boolean;
  openSession(input: SessionInput): SessionKey;
  /** Every secret there is, so that a test can look for leaks. */
  secrets(): readonly string[];
}

export function createKeyring(world: World): Keyring {
  const sessions = new Map<string, SessionKey>();
  const tokens = new Set<string>();
  return {
    find: (id) => sessions.get(id) ?? longLivedKeys(world).find((key) => key.id === id),
    knowsToken: (token) => tokens.has(token),
    openSession(input) {
      const key = newAccessKey("STS.N");
      const session = { ...key, securityToken: `CAIS${randomText(400)}`, caller: sessionCaller(input) };
      sessions.set(session.id, session);
      tokens.add(session.securityToken);
      return session;
    },
    secrets: () => [
      ...longLivedKeys(world).map((key) => key.secret),
      ...[...sessions.values()].flatMap((session) => [session.secret, session.securityToken]),
    ],
  };
}

function longLivedKeys(world: World): readonly Key[] {
  return [
    ...world.accounts.map((account) => withCaller(account.key, rootCaller(account.id))),
    ...world.users.map((user) =>
      withCaller(user.key, {
        type: "RAMUser",
        accountId: user.accountId,
        arn: user.arn,
        principalArn: user.arn,
        principalId: user.userId,
        userId: user.userId,
        allows: (request) => evaluate(user.policies, request) === "allow",
      }),
    ),
  ];
}

function withCaller(key: AccessKey, caller: Caller): Key {
  return { ...key, caller };
}

function rootCaller(accountId: string): Caller {
  const arn = `acs:ram::${accountId}:root`;
  return {
    type: "Account",
    accountId,
    arn,
    principalArn: arn,
    principalId: accountId,
    userId: accountId,
    allows: () => true,
  };
}

function sessionCaller(input: SessionInput): Caller {
  const { role, name, policy } = input;
  return {
    type: "AssumedRoleUser",
    accountId: role.accountId,
    arn: `acs:ram::${role.accountId}:assumed-role/${role.name}/${name}`,
    principalArn: role.arn,
    principalId: `${role.roleId}:${name}`,
    roleId: role.roleId,
    expiresAt: input.expiresAt,
    ...(input.sourceIdentity === undefined ? {} : { sourceIdentity: input.sourceIdentity }),
    allows: (request) => sessionAllows(role.policies, policy, request),
  };
}
