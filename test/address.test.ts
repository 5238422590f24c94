/** Addresses and networks: one spelling each, and IPv4 is IPv4 however it is wrapped. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { networks, normalAddress } from "../shared/address.ts";

describe("an address", () => {
  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::1", "::1"],
    ["2001:DB8:0:0::1", "2001:db8::1"],
    ["2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::FFFF:0A00:0001", "10.0.0.1"],
    ["0:0:0:0:0:ffff:10.0.0.1", "10.0.0.1"],
  ])("%s is %s", (text, address) => {
    expect(normalAddress(text)).toBe(address);
  });

  test.each([
    [undefined],
    [""],
    ["10.0.0.1, 10.0.0.2"],
    ["10.0.0.1,10.0.0.2"],
    ["10.0.0.1 "],
    ["10.0.0.1:443"],
    ["[::1]:443"],
    ["[::1]"],
    ["10.0.0.1/32"],
    ["010.0.0.1"],
    ["10.1"],
    ["167772161"],
    ["0x0a000001"],
    ["fe80::1%eth0"],
    ["unknown"],
    ["localhost"],
    ["１０.0.0.1"],
  ])("is not %j", (text) => {
    expect(normalAddress(text)).toBeUndefined();
  });
});

describe("networks", () => {
  const office = networks(["10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32"]);

  test.each(["10.1.0.0", "10.1.255.255", "192.0.2.7", "2001:db8::", "2001:db8:ffff::1"])("hold %s", (address) => {
    expect(office.includes(address)).toBe(true);
  });

  test.each(["10.0.255.255", "10.2.0.0", "192.0.2.6", "192.0.2.8", "2001:db7:ffff::1", "2001:db9::", "::1"])(
    "do not hold %s",
    (address) => {
      expect(office.includes(address)).toBe(false);
    },
  );

  test("all of IPv6 holds no IPv4, and the other way round", () => {
    expect(networks(["::/0"]).includes("10.0.0.1")).toBe(false);
    expect(networks(["0.0.0.0/0"]).includes("2001:db8::1")).toBe(false);
    expect(networks(["::/0"]).includes("2001:db8::1")).toBe(true);
    expect(networks(["0.0.0.0/0"]).includes("10.0.0.1")).toBe(true);
  });

  test("of none hold nothing", () => {
    expect(networks([]).includes("10.0.0.1")).toBe(false);
  });

  test("agree with counting bits, whatever the prefix", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.integer({ min: 0, max: 32 }), fc.nat(0xffffffff), (base, length, other) => {
        const mask = length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
        const network = (base & mask) >>> 0;
        const near = ((network | (other & ~mask)) >>> 0) ^ (other & 1 && length > 0 ? 1 << (32 - length) : 0);
        for (const address of [other, near >>> 0]) {
          expect(networks([`${dotted(network)}/${length}`]).includes(dotted(address))).toBe(
            (address & mask) >>> 0 === network,
          );
        }
      }),
    );
  });

  function dotted(number: number): string {
    return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
  }
});
