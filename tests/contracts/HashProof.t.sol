// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {HashProof} from "../../contracts/HashProof.sol";
import {IHashProof} from "../../contracts/interfaces/IHashProof.sol";
import {HashProofFixture} from "./utils/HashProofFixture.sol";
import {Shares} from "./utils/Shares.sol";

/// @notice Seeds, claims, and the arithmetic of the estimate.
contract HashProofTest is HashProofFixture {
    /* SEED */

    function test_theFirstBlockOpensTheEpoch() public {
        assertEq(bytes32(tag), bytes32(bytes4(keccak256(abi.encode(block.chainid, FLEET, E, seed)))), "tag");
        (bytes memory parent, bytes memory first) = headers(990, E * EPOCH - 12, E * EPOCH);
        proof.openEpoch(parent, first); // again: nothing changes
        assertEq(proof.seedOf(E), seed, "seed");
    }

    function test_NotFirstOfEpoch() public {
        (bytes memory parent, bytes memory first) = headers(995, E * EPOCH, E * EPOCH + 12);
        vm.setBlockhash(995, keccak256(first));
        refuses(IHashProof.NotFirstOfEpoch.selector);
        proof.openEpoch(parent, first);
        (parent, first) = headers(995, E * EPOCH - 24, E * EPOCH - 12);
        vm.setBlockhash(995, keccak256(first));
        refuses(IHashProof.NotFirstOfEpoch.selector);
        proof.openEpoch(parent, first);
    }

    function test_NotParent() public {
        (, bytes memory first) = headers(995, (E + 1) * EPOCH - 1, (E + 1) * EPOCH);
        vm.setBlockhash(995, keccak256(first));
        bytes memory other = header(keccak256("other"), 994, E * EPOCH - 1);
        refuses(IHashProof.NotParent.selector);
        proof.openEpoch(other, first);
    }

    function test_UnknownBlock() public {
        (bytes memory parent, bytes memory first) = headers(995, E * EPOCH + 50, (E + 1) * EPOCH);
        refuses(IHashProof.UnknownBlock.selector);
        proof.openEpoch(parent, first);
        // nobody opened in time: 256 blocks later there is no seed, and never will be
        vm.setBlockhash(995, keccak256(first));
        vm.roll(995 + 257);
        refuses(IHashProof.UnknownBlock.selector);
        proof.openEpoch(parent, first);
        (bytes[] memory shares,) = batch(tag, 1);
        vm.warp((E + 1) * EPOCH + 1);
        refuses(IHashProof.NotOpen.selector);
        proof.prove(FLEET, E + 1, type(uint256).max, shares);
    }

    /// EIP-2935 reaches further back.
    function test_theHistoryContractWidensTheWindow() public {
        (bytes memory parent, bytes memory first) = headers(995, E * EPOCH + 50, (E + 1) * EPOCH);
        vm.roll(995 + 5_000);
        // PUSH32 hash, MSTORE at 0, RETURN 32 bytes
        vm.etch(
            0x0000F90827F1C53a10cb7A02335B175320002935,
            abi.encodePacked(hex"7f", keccak256(first), hex"60005260206000f3")
        );
        proof.openEpoch(parent, first);
        assertEq(proof.seedOf(E + 1), keccak256(first), "seed");
    }

    function test_BadHeader() public {
        (bytes memory parent, bytes memory first) = headers(990, E * EPOCH - 12, E * EPOCH);
        refuses(IHashProof.BadHeader.selector);
        proof.openEpoch(parent, hex"f90000");
        bytes memory short = new bytes(449);
        short[0] = 0xf9; // ends after its second number
        first = header(keccak256(short), 990, E * EPOCH);
        refuses(IHashProof.BadHeader.selector);
        proof.openEpoch(short, first);
        assertTrue(parent.length > 0, "made");
    }

    function testFuzz_headerFields(uint64 number, uint64 time) public {
        number = uint64(bound(number, 1, type(uint64).max));
        uint256 epoch = bound(time, 1, type(uint32).max - 1);
        vm.roll(uint256(number) + 1);
        vm.warp(epoch * EPOCH);
        HashProof other = new HashProof(3);
        (bytes memory parent, bytes memory first) = headers(number, epoch * EPOCH - 1, epoch * EPOCH + time % EPOCH);
        vm.setBlockhash(number, keccak256(first));
        other.openEpoch(parent, first);
        assertEq(other.seedOf(uint32(epoch)), keccak256(first), "seed");
    }

    function test_aFleetCountsFromTheNextEpoch() public {
        bytes32 late = keccak256("late");
        (bytes[] memory shares,) = batch(bytes4(keccak256(abi.encode(block.chainid, late, E, seed))), 1);
        refuses(IHashProof.NotRegistered.selector);
        proof.prove(late, E, type(uint256).max, shares);
        proof.register(late);
        proof.register(late);
        assertEq(proof.since(late), E + 1, "since");
        refuses(IHashProof.NotRegistered.selector);
        proof.prove(late, E, type(uint256).max, shares);
    }

    /* CLAIMS */

    function test_aClaimIsStored() public {
        (bytes[] memory shares, uint256 highest) = batch(tag, 1);
        vm.expectEmit(true, true, false, true, address(proof));
        emit IHashProof.Proven(FLEET, E, proof.estimate(highest), highest, highest, address(this));
        proof.prove(FLEET, E, highest, shares);
        IHashProof.Claim memory claim = proof.claimOf(FLEET, E);
        assertEq(claim.hashes, proof.estimate(highest), "hashes");
        assertEq(claim.provenAt, block.timestamp, "time");
        refuses(IHashProof.NotMore.selector);
        prove(shares);
    }

    function test_moreHashesReplaceFewer() public {
        (bytes[] memory some, uint256 high) = batch(tag, 1);
        (bytes[] memory others, uint256 low) = (some, high);
        for (uint256 salt = 2; proof.estimate(low) <= proof.estimate(high); ++salt) {
            (others, low) = batch(tag, salt);
        }
        prove(some);
        prove(others);
        assertEq(proof.claimOf(FLEET, E).hashes, proof.estimate(low), "more");
        refuses(IHashProof.NotMore.selector);
        prove(some);
    }

    function test_TooLate() public {
        (bytes[] memory shares,) = batch(tag, 1);
        vm.warp((E + 1) * EPOCH + proof.WINDOW());
        uint256 state = vm.snapshotState();
        prove(shares);
        vm.revertToState(state);
        skip(1);
        refuses(IHashProof.TooLate.selector);
        prove(shares);
    }

    function test_AboveBound() public {
        (bytes[] memory shares, uint256 highest) = batch(tag, 1);
        refuses(IHashProof.AboveBound.selector);
        proof.prove(FLEET, E, highest - 1, shares);
    }

    function test_BadCount() public {
        refuses(IHashProof.BadCount.selector);
        new HashProof(2);
        refuses(IHashProof.BadCount.selector);
        new HashProof(256);
    }

    function test_claimsOver21Epochs() public {
        (uint256 hashes, uint256 proven, uint256 errorPpm) = proof.claimedOver(FLEET, E, 21);
        assertEq(hashes + proven + errorPpm, 0, "nothing yet");
        uint256 sum;
        uint256 squares;
        for (uint32 i = 0; i < 3; ++i) {
            if (i > 0) open(E + i, 990 + i, (E + i) * EPOCH - 12, (E + i) * EPOCH);
            vm.warp((E + i + 1) * EPOCH);
            vm.roll(1_000 + i);
            (bytes[] memory shares, uint256 highest) = batch(proof.tagOf(FLEET, E + i), i);
            proof.prove(FLEET, E + i, type(uint256).max, shares);
            sum += proof.estimate(highest);
            squares += uint256(proof.estimate(highest)) ** 2;
        }
        (hashes, proven, errorPpm) = proof.claimedOver(FLEET, E + 3, 21);
        assertEq(hashes, sum, "sum");
        assertEq(proven, 3, "epochs");
        // the root is cut to whole hashes, and there are only about fifty here
        uint256 squared = squares / 14;
        uint256 root = errorPpm * sum / 1e6;
        assertTrue(root * root <= squared && (root + 2) * (root + 2) > squared, "standard error");
        (hashes, proven,) = proof.claimedOver(FLEET, E + 3, 3);
        assertEq(proven, 2, "window");
    }

    /* ARITHMETIC */

    function testFuzz_hashEqualsThePlainOne(uint256 salt, uint8 length, uint8 start, uint8 depth) public view {
        salt = salt % 1e9;
        uint256 script = bound(length, 4, 100);
        Shares.Share memory s =
            Shares.make(0x01020304, uint8(bound(start, 0, script - 4)), script, bound(depth, 0, 14), salt);
        assertEq(proof.hashOf(Shares.pack(s), 0x01020304), Shares.hash(s), "hash");
    }

    /// Any byte that differs makes another hash or a refusal: nothing in a share is unbound.
    function testFuzz_everyByteCounts(uint256 place, uint8 flip) public view {
        Shares.Share memory s = Shares.make(tag, 40, 52, 3, 9);
        bytes memory share = Shares.pack(s);
        place = bound(place, 0, share.length - 1);
        share[place] = bytes1(uint8(share[place]) ^ uint8(bound(flip, 1, 255)));
        try proof.hashOf(share, tag) returns (uint256 found) {
            assertTrue(found != Shares.hash(s), "same hash");
        } catch {}
    }

    function testFuzz_estimate(uint256 highest, uint8 k) public {
        HashProof other = new HashProof(bound(k, 3, 255));
        highest = bound(highest, 1 << 170, type(uint256).max);
        uint256 hashes = other.estimate(highest);
        // hashes = floor(x) <=> hashes * highest <= (k - 1) * 2^256 < (hashes + 1) * highest, in two words each
        (uint256 high, uint256 low) = (_high(hashes, highest), _low(hashes, highest));
        assertTrue(high < other.k() - 1 || (high == other.k() - 1 && low == 0), "not above");
        (high, low) = (_high(hashes + 1, highest), _low(hashes + 1, highest));
        assertTrue(high > other.k() - 1 || (high == other.k() - 1 && low > 0), "not below");
    }

    function _low(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            return a * b;
        }
    }

    /// @dev Upper word of a product, by schoolbook halves.
    function _high(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            (uint256 a1, uint256 a0, uint256 b1, uint256 b0) =
                (a >> 128, a & type(uint128).max, b >> 128, b & type(uint128).max);
            uint256 middle = a1 * b0 + (a0 * b0 >> 128);
            uint256 carry = a0 * b1 + (middle & type(uint128).max);
            return a1 * b1 + (middle >> 128) + (carry >> 128);
        }
    }

    function test_estimateSaturates() public view {
        assertEq(proof.estimate(1), type(uint96).max, "one");
        assertEq(proof.estimate(1 << 163), type(uint96).max, "15 * 2^93 is the last below");
        assertEq(proof.estimate(1 << 164), uint256(15) << 92, "in range");
    }
}
