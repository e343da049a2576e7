// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {HashProof} from "../../contracts/HashProof.sol";
import {IHashProof} from "../../contracts/interfaces/IHashProof.sol";
import {HashProofFixture} from "./utils/HashProofFixture.sol";
import {Shares} from "./utils/Shares.sol";

/// @notice Shares that are not the fleet's, not the epoch's, or not shares.
contract HashProofAttacksTest is HashProofFixture {
    /// @dev A batch whose share `index` is this one; in no order, for refusals that come before order.
    function _refused(bytes4 why, uint256 index, bytes memory share) private {
        (bytes[] memory shares,) = batch(tag, 1);
        shares[index] = share;
        // those before it are in order
        refuses(why);
        prove(shares);
    }

    function test_stockpiledShareOfAnotherEpoch() public {
        (bytes[] memory shares,) = batch(tag, 1); // hashed in epoch E
        open(E + 1, 995, (E + 1) * EPOCH - 12, (E + 1) * EPOCH);
        vm.warp((E + 1) * EPOCH + 600);
        refuses(IHashProof.WrongTag.selector);
        proof.prove(FLEET, E + 1, type(uint256).max, shares);
    }

    /// The seed of an epoch is not known before it: what was hashed ahead carries some other tag.
    function test_shareHashedBeforeTheSeed() public {
        bytes4 guess = bytes4(keccak256(abi.encode(block.chainid, FLEET, E, bytes32(0))));
        (bytes[] memory shares,) = batch(guess, 1);
        refuses(IHashProof.WrongTag.selector);
        prove(shares);
    }

    function test_borrowedShareOfAnotherMinerOfThePool() public {
        Shares.Share memory s = Shares.make(tag, 40, 52, 12, 1);
        s.script = Shares.noise(52, 77); // same job, another miner's extranonce
        _refused(IHashProof.WrongTag.selector, 5, Shares.pack(s));
    }

    function test_fleetOfAnotherChain() public {
        bytes4 foreign = bytes4(keccak256(abi.encode(block.chainid + 1, FLEET, E, seed)));
        (bytes[] memory shares,) = batch(foreign, 1);
        refuses(IHashProof.WrongTag.selector);
        prove(shares);
    }

    function test_shareOfAnotherFleet() public {
        bytes4 foreign = bytes4(keccak256(abi.encode(block.chainid, keccak256("other"), E, seed)));
        (bytes[] memory shares,) = batch(foreign, 1);
        refuses(IHashProof.WrongTag.selector);
        prove(shares);
    }

    /// With the seed known, an id whose tag is any four bytes takes 2^32 tries: so it is too late to choose one.
    function test_fleetIdChosenAfterTheSeed() public {
        Shares.Share memory s = Shares.make(tag, 40, 52, 12, 1);
        bytes32 chosen = keccak256("chosen so that its tag stands in foreign shares");
        proof.register(chosen);
        bytes[] memory shares = new bytes[](COUNT);
        shares[0] = Shares.pack(s);
        refuses(IHashProof.NotRegistered.selector);
        proof.prove(chosen, E, type(uint256).max, shares);
    }

    function test_duplicate() public {
        (bytes[] memory shares,) = batch(tag, 1);
        shares[4] = shares[3];
        refuses(IHashProof.NotAscending.selector);
        prove(shares);
    }

    function test_descending() public {
        (bytes[] memory shares,) = batch(tag, 1);
        (shares[4], shares[3]) = (shares[3], shares[4]);
        refuses(IHashProof.NotAscending.selector);
        prove(shares);
    }

    function test_fewerSharesThanK() public {
        (bytes[] memory all,) = batch(tag, 1);
        bytes[] memory shares = new bytes[](COUNT - 1);
        for (uint256 i = 0; i < shares.length; ++i) {
            shares[i] = all[i];
        }
        refuses(IHashProof.WrongCount.selector);
        prove(shares);
        refuses(IHashProof.WrongCount.selector);
        prove(new bytes[](COUNT + 1));
    }

    /// 64 bytes could be two hashes of a Merkle tree.
    function test_coinbaseOf64Bytes() public {
        Shares.Share memory s = Shares.make(tag, 0, 10, 12, 1);
        s.rest = Shares.noise(64 - 42 - 10, 3);
        assertEq(Shares.coinbase(s).length, 64, "made so");
        _refused(IHashProof.SixtyFourBytes.selector, 0, Shares.pack(s));
        s.rest = Shares.noise(65 - 42 - 10, 3);
        assertEq(proof.hashOf(Shares.pack(s), tag), Shares.hash(s), "65 bytes are none");
    }

    /// A branch that does not lead to the root that was hashed gives a header that nobody worked on: its hash is as high
    /// as any, so it proves one hash.
    function test_wrongBranch() public view {
        Shares.Share memory s = Shares.make(tag, 40, 52, 3, 1);
        for (s.nonce = 0; Shares.hash(s) >> 248 != 0; ++s.nonce) {}
        uint256 worked = Shares.hash(s);
        s.branch[1] = keccak256("another");
        uint256 found = proof.hashOf(Shares.pack(s), tag);
        assertTrue(found >> 248 != 0 && worked >> 248 == 0, "the work is gone");
    }

    function test_tagOutsideTheScript() public {
        Shares.Share memory s = Shares.make(tag, 40, 52, 12, 1);
        for (uint8 start = 49; start < 60; ++start) {
            s.tagAt = start; // reaches past the script's end by at least one byte
            _refused(IHashProof.TagOutsideScript.selector, 0, Shares.pack(s));
        }
        s = Shares.make(tag, 48, 52, 12, 1);
        assertEq(proof.hashOf(Shares.pack(s), tag), Shares.hash(s), "its last four bytes are inside");
    }

    /// Outputs are everybody's to choose in a payment to oneself: a tag there binds nobody.
    function test_tagInTheOutputs() public {
        Shares.Share memory s = Shares.make(bytes4(0), 40, 52, 12, 1);
        s.rest = abi.encodePacked(hex"ffffffff01", bytes8(0), uint8(4), tag, bytes4(0));
        s.tagAt = 52 + 5 + 8 + 1; // where it stands, counted from the start of the script
        _refused(IHashProof.TagOutsideScript.selector, 0, Shares.pack(s));
    }

    /// A transaction that spends something is no coinbase: its scripts are its owner's. The contract writes the null
    /// input itself, so such a transaction cannot be shown at all: it hashes to something else.
    function test_aTransactionThatIsNoCoinbase() public view {
        Shares.Share memory s = Shares.make(tag, 40, 52, 0, 1);
        bytes memory real = abi.encodePacked(
            hex"0200000001", keccak256("a coin"), hex"00000000", uint8(s.script.length), s.script, s.rest
        );
        bytes32 root = Shares.double(real);
        bytes memory header = abi.encodePacked(s.version, s.previous, root, s.time, s.bits, s.nonce);
        uint256 worked = uint256(Shares.double(header));
        assertTrue(proof.hashOf(Shares.pack(s), tag) != worked, "another header");
    }

    function test_malformedShares() public {
        bytes memory share = Shares.pack(Shares.make(tag, 40, 52, 12, 1));
        uint256[4] memory lengths = [uint256(0), 49, 50 + 12 * 32 + 4, 50 + 12 * 32 + 5 + 51];
        for (uint256 i = 0; i < lengths.length; ++i) {
            bytes memory cut = new bytes(lengths[i]);
            for (uint256 j = 0; j < cut.length; ++j) {
                cut[j] = share[j];
            }
            _refused(IHashProof.BadShare.selector, 0, cut);
        }
        share[49] = 0xff; // a branch longer than the share
        _refused(IHashProof.BadShare.selector, 0, share);
        Shares.Share memory long = Shares.make(tag, 40, 101, 12, 1);
        _refused(IHashProof.BadShare.selector, 0, Shares.pack(long));
    }
}
