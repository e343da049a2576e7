// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {DemoQuote} from "../../../contracts/DemoQuote.sol";
import {GasTable} from "./GasTable.sol";

contract PeerERC20 is ERC20("Peer", "PEER") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

contract PeerVotes is ERC20("Peer", "PEER"), ERC20Permit("Peer"), ERC20Votes {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }

    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }
}

/// @notice What others' contracts cost for the same, measured as MarketGasTest measures ours.
/// forge-config: default.isolate = true
contract PeerGasTest is GasTable {
    address private constant _ONE = address(uint160(uint256(keccak256("one"))));
    address private constant _TWO = address(uint160(uint256(keccak256("two"))));

    function test_gas() public {
        vm.warp(70_000 * EPOCH);
        _erc20();
        _votes();
        _solady();
        check("peers");
    }

    function _solady() private {
        DemoQuote token = new DemoQuote();
        token.mint(_ONE, 10e18);
        token.mint(_TWO, 10e18);
        vm.prank(_ONE);
        token.transfer(_TWO, 1e18);
        record("soladyErc20Transfer");
    }

    function _erc20() private {
        PeerERC20 token = new PeerERC20();
        token.mint(_ONE, 10e18);
        token.mint(_TWO, 10e18);
        vm.prank(_ONE);
        token.transfer(_TWO, 1e18);
        record("openZeppelinErc20Transfer");
    }

    function _votes() private {
        PeerVotes token = new PeerVotes();
        token.mint(_ONE, 10e18);
        token.mint(_TWO, 10e18);
        vm.prank(_ONE);
        token.delegate(_ONE);
        vm.prank(_TWO);
        token.delegate(_TWO);
        vm.roll(block.number + 10);
        vm.prank(_ONE);
        token.transfer(_TWO, 1e18);
        record("openZeppelinErc20VotesTransferNewCheckpoint");
        vm.prank(_ONE);
        token.transfer(_TWO, 1e18);
        record("openZeppelinErc20VotesTransferSameBlock");
    }
}
