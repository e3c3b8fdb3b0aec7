# The swarm: sim_swarm runs seeds; sim_mutant_* are the same with one bug planted each.
#
# Neither the watching of transitions nor the bugs stand in the product's sources: both are made here, by replacing
# text in copies of them. Where a source no longer holds the text of a bug, that bug's test fails, so they keep up. A
# program gets the objects of its copies first on the link line; the library's own are then not taken.

file(GLOB swarm_sources CONFIGURE_DEPENDS sim/swarm*.cc)
list(FILTER swarm_sources EXCLUDE REGEX "swarm_main.cc|_test.cc")
add_library(weir_swarm STATIC ${swarm_sources})
target_link_libraries(weir_swarm PUBLIC weir_routing)
add_library(weir_seed_jobs STATIC sim/seed_jobs.cc)
target_link_libraries(weir_seed_jobs PUBLIC weir_core)

# The text of a product's source, and the path of a copy under `folder`.
function(weir_read_source source folder text_variable copy_variable)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${source})
  # Its object must not bring others of the library along.
  set_source_files_properties(${CMAKE_SOURCE_DIR}/${source} TARGET_DIRECTORY weir_net weir_routing
                              PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  file(READ ${CMAKE_SOURCE_DIR}/${source} text)
  set(${text_variable} "${text}" PARENT_SCOPE)
  set(${copy_variable} ${CMAKE_CURRENT_BINARY_DIR}/${folder}/${source} PARENT_SCOPE)
endfunction()

# A copy in which every change of state is seen (swarm_watch.h).
function(weir_watched_source source)
  weir_read_source(${source} watched text copy)
  set(before "${text}")
  string(REGEX REPLACE "phase_ = ([^;=]+);" "phase_ = ::weir::sim::watched_phase<Phase>(phase_, \\1);" text "${text}")
  string(REGEX REPLACE "(\n[a-z][^\n]* Exchange::(on_[a-z_]+|start|abandon)\\([^{;]*\\) {)"
         "\\1\n  const ::weir::sim::ExchangeEvent watched_event(\"\\2\");" text "${text}")
  string(REPLACE "machine_.on_" "::weir::sim::WatchedPoolMachine(machine_).on_" text "${text}")
  string(REPLACE "gateway_.addresses, response_parser_)"
         "gateway_.addresses, response_parser_, ::weir::sim::pool_machine())" text "${text}")
  if("${text}" STREQUAL "${before}")
    message(FATAL_ERROR "tests/sim/swarm.cmake: nothing to watch in ${source}")
  endif()
  file(CONFIGURE OUTPUT ${copy} CONTENT "#include \"tests/sim/swarm_watch.h\"\n${text}" @ONLY)
  set(watched_sources ${watched_sources} ${copy} PARENT_SCOPE)
endfunction()

# A program with one bug: `old` stands exactly once in `source`, and becomes `new`. The libraries make the program. Its
# test runs seeds from the first on until one finds it, by what is `expected`; the rarest takes some 300.
function(weir_plant target test expected source old new)
  weir_read_source(${source} mutants/${target} text copy)
  string(FIND "${text}" "${old}" first)
  string(FIND "${text}" "${old}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    set(problem "tests/sim/swarm.cmake: ${target}: not once in ${source}: ${old}")
    message(WARNING "${problem}")
    add_test(NAME "${test}" COMMAND ${CMAKE_COMMAND} -E cat "${problem}")
    return()
  endif()
  string(REPLACE "${old}" "${new}" text "${text}")
  file(CONFIGURE OUTPUT ${copy} CONTENT "${text}" @ONLY)
  add_executable(${target} ${copy})
  target_compile_options(${target} PRIVATE -Wno-error)
  target_link_libraries(${target} PRIVATE ${ARGN})
  add_test(NAME "${test}" COMMAND ${target} --seeds 10000)
  set_tests_properties("${test}" PROPERTIES PASS_REGULAR_EXPRESSION "${expected}" TIMEOUT 120)
endfunction()
function(weir_mutant name expected source old new)
  weir_plant(sim_mutant_${name} "Swarm.FindsThePlantedBug_${name}" "finding: ${expected}" ${source} "${old}" "${new}"
             weir_swarm_main weir_swarm weir_seed_jobs weir_sim)
endfunction()
function(weir_control_mutant name source old new)
  weir_plant(sim_control_mutant_${name} "ControlSwarm.FindsThePlantedBug_${name}" "replay: sim_[a-z]+ --seed" ${source}
             "${old}" "${new}" weir_control_swarm_main weir_sim_workers weir_control_swarm weir_seed_jobs weir_sim)
endfunction()

foreach(source exchange exchange_answer shard)
  weir_watched_source(routing/exchange/${source}.cc)
endforeach()
weir_watched_source(net/upstream_pool.cc)
add_library(weir_watched OBJECT ${watched_sources})
target_link_libraries(weir_watched PUBLIC weir_swarm)
add_library(weir_swarm_main OBJECT sim/swarm_main.cc)
target_link_libraries(weir_swarm_main PUBLIC weir_swarm)
add_executable(sim_swarm)
target_link_libraries(sim_swarm PRIVATE weir_swarm_main weir_watched weir_swarm weir_seed_jobs weir_sim)
if(NOT WEIR_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  add_test(NAME "Swarm.ReachesTheTransitionsOfItsMachines" COMMAND sim_swarm --seeds 3000 --jobs 2 --transitions 90)
endif()
add_test(NAME "Swarm.TheSameSeedIsTheSameRunInAnotherProcess"
         COMMAND sh -c "one=$($1 --seed 4711) && test \"$one\" = \"$($1 --seed 4711)\"" sh $<TARGET_FILE:sim_swarm>)
add_executable(swarm_tests sim/swarm_test.cc)
target_link_libraries(swarm_tests PRIVATE weir_watched weir_swarm weir_sim GTest::gtest_main)
weir_register_tests(swarm_tests)

# Thousands of seeds: too many for a sanitized or emulated run.
if(NOT WEIR_SANITIZE AND NOT WEIR_FUZZ AND NOT CMAKE_CROSSCOMPILING)
  weir_mutant(missed_cancel "a shard never closed"
              net/connection.cc
              "  starved_task_.unlink();\n  if (receive_.armed()) loop_.io().cancel(receive_);\n  if (send_.armed())"
              "  starved_task_.unlink();\n  if (send_.armed())")
  weir_mutant(missed_abandon "killed by signal 6"
              routing/exchange/exchange.cc
              "  if (waiting()) pool_->abandon(*this);\n" "")
  weir_mutant(double_settle "an exchange settled twice"
              routing/exchange/exchange_answer.cc
              "  shard_.settle(record_);\n"
              "  shard_.settle(record_);\n  if (record_.client_gone && record_.attempts > 1) shard_.settle(record_);\n")
  weir_mutant(double_charge "(a tenant spent|spend is not the sum of records)"
              routing/guard/admission.cc
              "    routing::settle(line, spec, worst_, cost_nano_usd);\n"
              "    routing::settle(line, spec, worst_, cost_nano_usd);\n    if (part_count_ > 2) routing::settle(line, spec, 0, cost_nano_usd);\n")
  weir_mutant(torn_swap "a provider got another provider's credential"
              routing/exchange/shard.cc
              "    for (auto& pools : self.pool_of_provider_) pools.clear();\n" "")
  weir_mutant(torn_exchange "a provider got another provider's credential"
              routing/exchange/shard.cc
              "  if (&of != &table()) return find_pool(of, provider, use);\n" "")
  weir_mutant(off_by_one "a user's concurrency"
              routing/guard/admission.cc
              "user_others_ < most" "user_others_ < most + 1")
  weir_mutant(off_by_one_in_all "a pilot of"
              routing/guard/admission.cc
              "!count_one(pilot.line->total, pilot.limits.total)" "!count_one(pilot.line->total, pilot.limits.total + 1)")
  weir_mutant(early_free "the answer is to another request"
              routing/exchange/exchange_answer.cc
              "return send_downstream(piece.payload());"
              "return send_downstream(core::Slice(piece.payload().mutable_data(), piece.payload_size, nullptr));")
  weir_mutant(leaked_place "a place under a limit was not given back"
              routing/guard/admission.cc
              "  if (std::exchange(part.counted, false)) release_one(part.line->in_flight);\n" "")
  weir_mutant(clean_cut "(a stream ended cleanly without its end mark|a stream and a plain answer are mixed up)"
              routing/exchange/exchange_answer.cc
              "  session_.cut();\n"
              "  send_downstream(core::Slice::of_static(net::kLastChunk));\n  session_.end_response();\n")
  weir_mutant(killed_host "a provider that is killed was asked"
              routing/exchange/exchange_guard.cc
              ".usable = !killed && share > 0" ".usable = share > 0")
  weir_mutant(wrong_clock "the reference (decides|says)"
              routing/exchange/data_plane.cc
              "  input.wall_now_ns = shard_.loop().wall_now_ns();\n" "")
  weir_mutant(refused_in_vain "turned away for nothing: overloaded"
              routing/exchange/data_plane.cc
              "  auto decision = decide(table, *choice, input);\n"
              "  if (input.conversation.ends_with(\"-2\")) return core::fail(ErrorCode::overloaded);\n  auto decision = decide(table, *choice, input);\n")
endif()

# The control plane's swarm, the same way: sim_control, control_swarm_tests, sim_control_mutant_*. weir_sim_workers takes
# the place of the library's routing/admin/worker.cc.
file(GLOB control_swarm_sources CONFIGURE_DEPENDS sim/control_swarm*.cc)
list(FILTER control_swarm_sources EXCLUDE REGEX "control_swarm_main.cc|_test.cc")
add_library(weir_control_swarm STATIC ${control_swarm_sources} support/simulated_disk.cc)
target_link_libraries(weir_control_swarm PUBLIC weir_routing)
add_library(weir_sim_workers OBJECT sim/sim_workers.cc)
target_compile_options(weir_sim_workers PRIVATE ${half_a_class})
target_link_libraries(weir_sim_workers PUBLIC weir_routing)
set_source_files_properties(${CMAKE_SOURCE_DIR}/routing/admin/worker.cc TARGET_DIRECTORY weir_routing
                            PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
add_library(weir_control_swarm_main OBJECT sim/control_swarm_main.cc)
target_link_libraries(weir_control_swarm_main PUBLIC weir_control_swarm)
add_executable(sim_control)
target_link_libraries(sim_control PRIVATE weir_control_swarm_main weir_sim_workers weir_control_swarm weir_seed_jobs
                      weir_sim)
add_executable(control_swarm_tests sim/control_swarm_test.cc)
target_link_libraries(control_swarm_tests PRIVATE weir_sim_workers weir_control_swarm weir_sim GTest::gtest_main)
weir_register_tests(control_swarm_tests)

if(NOT WEIR_SANITIZE AND NOT WEIR_FUZZ AND NOT CMAKE_CROSSCOMPILING)
  weir_control_mutant(not_synced routing/registry/database.cc "PRAGMA synchronous=FULL" "PRAGMA synchronous=OFF")
  weir_control_mutant(published_too_early routing/admin/control_changes.cc
                      "  ChangeOutcome outcome{.changed = change->objects.size()"
                      "  current_ = prepared.table;\n  publish(request.reason);\n  ChangeOutcome outcome{.changed = change->objects.size()")
  weir_control_mutant(answered_too_early routing/admin/control.cc
                      "  if (!gateway_.tables.everyone_uses(item.version)) return false;\n" "")
  weir_control_mutant(kill_forgotten routing/admin/control.cc "    kills_.add(std::move(kill));\n" "")
  weir_control_mutant(kill_overtaken routing/admin/control_changes.cc
                      "      overtakes |= !std::exchange(*unkilling.overtaken, true);\n" "      continue;\n")
  weir_control_mutant(update_lost routing/admin/control_changes.cc
                      "  if (is_stale(request->if_match)) return end_change(std::unexpected(lost_update()));\n" "")
  weir_control_mutant(host_forgotten routing/admin/control.cc
                      "!changes_.empty() || gateway_.tables" "gateway_.tables")
  weir_control_mutant(stale_proposal routing/admin/control_proposals.cc
                      "    if (*now == change.before) continue;\n" "    continue;\n")
  weir_control_mutant(old_image routing/admin/tenant_images.cc
                      "    if (changes->empty()) return" "    return")
  weir_control_mutant(change_left_running routing/admin/control.cc "  worker_.finish();" "")
  weir_control_mutant(freed_after_the_worker routing/admin/control.cc
                      "            if (alive.expired()) return job();\n" "")
  weir_control_mutant(thought_registered routing/admin/control_changes.cc
                      "          if (committed.revision) std::erase(registered_kills_, std::pair(flip.scope, flip.name));\n" "")
  weir_control_mutant(not_settled routing/registry/database.cc "  if (loaded && !in_memory()) settle();\n" "")
  weir_control_mutant(refused_comes_back routing/registry/database.cc "    undo_commit();\n    return" "    return")
endif()
