// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Shares
/// @notice Mining shares as tests make them, and what they hash to, written plainly: nothing of the contracts' code.
library Shares {
    struct Share {
        bytes4 version;
        bytes32 previous;
        bytes4 time;
        bytes4 bits;
        uint32 nonce;
        uint8 tagAt;
        bytes32[] branch;
        bytes script;
        bytes rest;
    }

    /// @notice A share with `tag` at `tagAt` of a script of `length` bytes, a coinbase of about 260 bytes at length 52.
    function make(bytes4 tag, uint8 tagAt, uint256 length, uint256 depth, uint256 salt)
        internal
        pure
        returns (Share memory s)
    {
        s.version = bytes4(keccak256(abi.encode("version", salt)));
        s.previous = keccak256(abi.encode("previous", salt)) >> 32;
        s.time = bytes4(keccak256(abi.encode("time", salt)));
        s.bits = 0xffff7f20;
        s.tagAt = tagAt;
        s.branch = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            s.branch[i] = keccak256(abi.encode("branch", salt, i));
        }
        s.script = noise(length, salt);
        for (uint256 i = 0; i < 4; ++i) {
            s.script[tagAt + i] = tag[i];
        }
        s.rest = abi.encodePacked(hex"ffffffff02", noise(156, salt + 1), bytes4(0));
    }

    function noise(uint256 length, uint256 salt) internal pure returns (bytes memory out) {
        out = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            out[i] = keccak256(abi.encode("noise", salt, i / 32))[i % 32];
        }
    }

    function pack(Share memory s) internal pure returns (bytes memory) {
        return abi.encodePacked(
            abi.encodePacked(s.version, s.previous, s.time, s.bits, s.nonce, s.tagAt, uint8(s.branch.length)),
            s.branch,
            abi.encodePacked(bytes4(0x02000000), uint8(s.script.length), s.script, s.rest)
        );
    }

    function coinbase(Share memory s) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"0200000001", bytes32(0), hex"ffffffff", uint8(s.script.length), s.script, s.rest);
    }

    function double(bytes memory data) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(sha256(data)));
    }

    function header(Share memory s) internal pure returns (bytes memory) {
        bytes32 root = double(coinbase(s));
        for (uint256 i = 0; i < s.branch.length; ++i) {
            root = double(abi.encodePacked(root, s.branch[i]));
        }
        return abi.encodePacked(s.version, s.previous, root, s.time, s.bits, s.nonce);
    }

    function hash(Share memory s) internal pure returns (uint256 number) {
        bytes32 digest = double(header(s));
        for (uint256 i = 0; i < 32; ++i) {
            number |= uint256(uint8(digest[i])) << 8 * i;
        }
    }

    /// @notice The packed shares by ascending hash, and the highest hash.
    function sorted(Share[] memory list) internal pure returns (bytes[] memory packed, uint256 highest) {
        uint256[] memory hashes = new uint256[](list.length);
        packed = new bytes[](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 place = i;
            uint256 own = hash(list[i]);
            for (; place > 0 && hashes[place - 1] > own; --place) {
                (hashes[place], packed[place]) = (hashes[place - 1], packed[place - 1]);
            }
            (hashes[place], packed[place]) = (own, pack(list[i]));
        }
        highest = hashes[list.length - 1];
    }
}
